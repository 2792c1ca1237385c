/**
 * Charts of estimates, as SVG. Only `--plot` loads this, and with it the plotting library.
 *
 * @module
 */

import { type EChartsOption, init, type SeriesOption } from "echarts";
import type { Roofline } from "../targets/cost.ts";
import { costProfile } from "../targets/cost_fitted.ts";
import type { Estimate } from "./estimate.ts";

/** Below the chart; the library guesses widths of texts, hence the gaps. */
const LEGEND = { bottom: 0, itemGap: 40 } as const;

/** Width, and the margins inside of it, in pixels. */
const WIDTH = 860, MARGIN = { left: 160, right: 40, top: 70, bottom: 60 } as const;

function render(option: EChartsOption, height: number): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: "sans-serif" }, backgroundColor: "#fff", ...option });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/**
 * Latency by target, one bar each.
 *
 * @param title Above the chart.
 * @param rows The estimates.
 * @returns The text of an SVG file.
 */
export function latencyChart(title: string, rows: readonly Estimate[]): string {
  const series = (name: string, measured: boolean): SeriesOption => ({
    name,
    type: "bar",
    stack: "time",
    label: { show: true, position: "right", formatter: ({ value }) => value === "-" ? "" : Number(value).toFixed(1) },
    data: rows.map((row) => row.measured === measured ? row.us : "-"),
  });
  const option: EChartsOption = {
    title: { text: title, subtext: "estimated time of a dispatch", left: "center" },
    legend: LEGEND,
    grid: MARGIN,
    xAxis: { type: "value", name: "us", nameLocation: "middle", nameGap: 28 },
    yAxis: {
      type: "category",
      inverse: true,
      data: rows.map(({ target, chip }) => chip === null ? target : `${target} (${chip})`),
      axisLabel: { width: MARGIN.left - 10, overflow: "truncate" },
    },
    series: [series("measured machine", true), series("brought from another machine", false)],
  };
  return render(option, MARGIN.top + MARGIN.bottom + 22 * rows.length);
}

/**
 * Operations over intensity, under the roof of the array's peak and of the rate at which weights stream.
 *
 * @param title Above the chart.
 * @param found What the cost model says.
 * @returns The text of an SVG file.
 */
export function rooflineChart(title: string, { target, peak, ops }: Roofline): string {
  const { weightRate } = costProfile(target);
  const points = ops.filter(({ flops, us, intensity }) => flops > 0 && us > 0 && intensity > 0);
  const ridge = peak / weightRate;
  const decades = [ridge / 10, ridge * 10, ...points.map(({ intensity }) => intensity)].map(Math.log10);
  const least = 10 ** Math.floor(Math.min(...decades));
  const most = 10 ** Math.ceil(Math.max(...decades));
  const roof = [least, ridge, most].map((x) => [x, Math.min(peak, weightRate * x) / 1e3]);
  const option: EChartsOption = {
    title: { text: title, subtext: `roofline of ${target}`, left: "center" },
    legend: LEGEND,
    grid: MARGIN,
    xAxis: { type: "log", name: "FLOP / byte", nameLocation: "middle", nameGap: 28, min: least, max: most },
    yAxis: { type: "log", name: "GFLOP/s" },
    series: [
      {
        name: `${(peak / 1e6).toFixed(2)} TFLOP/s, ${(weightRate / 1e3).toFixed(1)} GB/s of weights`,
        type: "line",
        showSymbol: false,
        data: roof,
      },
      ...(["compute", "bandwidth", "floor"] as const).map((bound): SeriesOption => ({
        name: `bound by ${bound}`,
        type: "scatter",
        label: { show: true, position: "right", formatter: ({ name }) => name },
        labelLayout: { hideOverlap: true },
        data: points.filter((row) => row.bound === bound)
          .map(({ op, intensity, flops, us }) => ({ name: op, value: [intensity, flops / us / 1e3] })),
      })),
    ],
  };
  return render(option, 480);
}
