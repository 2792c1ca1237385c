/**
 * What the original's cost model is made of: clock tables of the dies, anchors measured on silicon, bridge latencies.
 *
 * @module
 */

/** Clocks of a die, as the compiler's hardware tables give them. */
export interface DieRow {
  /** Name of the die, lower case; most are also compiler targets. */
  readonly die: string;
  /** The table's core count. */
  readonly cores: number;
  /** Highest clock, MHz. */
  readonly maxMhz: number;
  /** Clock and effective clock, MHz; linear in between, constant outside. */
  readonly effectiveMhz: readonly (readonly [clock: number, effective: number])[];
  /** Public origin of the row. */
  readonly source: string;
}

/** A die whose constants were read off measurements. */
export interface AnchorRow {
  /** Compiler target. */
  readonly arch: string;
  /** Machine that was measured. */
  readonly chip: string;
  /** Bytes per microsecond. */
  readonly bandwidth: number;
  /** Microseconds per dispatch. */
  readonly floorUs: number;
  /** Operations per microsecond. */
  readonly peak: number;
  /** Below `flops` operations the peak falls with the power `exponent` of their share. */
  readonly ramp: { readonly flops: number; readonly exponent: number } | null;
  /** Public origin of the row. */
  readonly source: string;
}

/** Measured latencies of an operation that is a program of its own on the device. */
export interface BridgeRow {
  /** Name of the operation. */
  readonly op: string;
  /** Measured sizes and the smallest latency seen, microseconds. */
  readonly points: readonly (readonly [size: readonly number[], us: number])[];
  /** Public origin of the row. */
  readonly source: string;
}

const model = "sbryngelson/ANEForge aneforge/_cost.py";
const curves = "sbryngelson/ANEForge aneforge/costmodel_curves.json";
const calibration = "sbryngelson/ANEForge aneforge/ane_cost_model.json, M5 Pro";

/** Constants of the form without a target: the floor, the bridge cut and the peak are calibrated on an M5 Pro. */
export const HOST_ROW = {
  floorUs: 63.3,
  cutUs: 75.6,
  bandwidth: 110000,
  peak: 1 / 5.096e-8,
  source: `${calibration}; bandwidth: ${model}`,
} as const;

/** Microseconds per bridge in the form with a target. */
export const TARGET_CUT_US = 200;

/** Share of the highest clock an engine sustains. */
export const CLOCK_SHARE = 0.8;

/** Peak of the M1 in `projectPeak`, TFLOP/s: the original's headline, not the peak of its anchor. */
export const HEADLINE_TFLOPS = 1.8;

/** Measured anchors. */
export const ANCHOR_ROWS: readonly AnchorRow[] = [
  { arch: "h13", chip: "M1", bandwidth: 9000, floorUs: 220, peak: 3250000, ramp: null, source: model },
  {
    arch: "h14",
    chip: "M2 Pro",
    bandwidth: 48000,
    floorUs: 100,
    peak: 7300000,
    ramp: { flops: 1.8e10, exponent: 0.38 },
    source: model,
  },
  { arch: "h17s", chip: "M5", bandwidth: 57000, floorUs: 110, peak: 8900000, ramp: null, source: model },
];

/** Die that stands for a family without a table of its own. */
export const FAMILY_DIE: Readonly<Record<number, string>> = { 2: "h13", 3: "h14", 4: "h15", 5: "h16s" };

/** Clock tables. */
export const DIE_ROWS: readonly DieRow[] = [
  {
    die: "h11",
    cores: 4,
    maxMhz: 1260,
    effectiveMhz: [[348, 348], [456, 456], [636, 636], [816, 816], [1152, 1152], [1260, 1260]],
    source: curves,
  },
  {
    die: "h13",
    cores: 4,
    maxMhz: 1428,
    effectiveMhz: [[396, 396], [420, 420], [558, 558], [606, 606], [720, 720], [816, 816], [912, 912], [1104, 1104], [
      1284,
      1284,
    ], [1428, 1428]],
    source: curves,
  },
  {
    die: "h13g",
    cores: 8,
    maxMhz: 1464,
    effectiveMhz: [
      [432, 432],
      [492, 492],
      [552, 552],
      [684, 684],
      [804, 804],
      [888, 888],
      [996, 996],
      [1164, 1164],
      [1236, 1236],
      [1320, 1320],
      [1380, 1380],
      [1464, 1464],
    ],
    source: curves,
  },
  {
    die: "t1",
    cores: 16,
    maxMhz: 1428,
    effectiveMhz: [[396, 396], [420, 420], [558, 558], [606, 606], [720, 720], [816, 816], [912, 912], [1104, 1104], [
      1284,
      1284,
    ], [1428, 1428]],
    source: curves,
  },
  {
    die: "h14",
    cores: 4,
    maxMhz: 1938,
    effectiveMhz: [
      [528, 444],
      [552, 468],
      [744, 600],
      [960, 732],
      [1128, 840],
      [1200, 888],
      [1404, 1044],
      [1512, 1128],
      [1938, 1452],
    ],
    source: curves,
  },
  {
    die: "h15",
    cores: 4,
    maxMhz: 2064,
    effectiveMhz: [
      [408, 348],
      [444, 384],
      [588, 504],
      [636, 540],
      [732, 612],
      [864, 696],
      [1020, 804],
      [1068, 828],
      [1128, 864],
      [1248, 936],
      [1356, 1008],
      [1386, 1032],
      [1446, 1068],
      [1536, 1128],
      [1608, 1176],
      [1716, 1248],
      [1788, 1308],
      [1884, 1380],
      [1944, 1428],
      [2064, 1524],
    ],
    source: curves,
  },
  {
    die: "h15c",
    cores: 32,
    maxMhz: 2364,
    effectiveMhz: [[708, 600], [984, 780], [1260, 984], [1536, 1188], [1812, 1380], [2088, 1584], [2364, 1776]],
    source: curves,
  },
  {
    die: "h16",
    cores: 4,
    maxMhz: 2160,
    effectiveMhz: [
      [372, 312],
      [444, 372],
      [708, 600],
      [804, 672],
      [864, 720],
      [972, 792],
      [1092, 876],
      [1104, 888],
      [1212, 972],
      [1224, 984],
      [1320, 1056],
      [1344, 1068],
      [1428, 1128],
      [1452, 1152],
      [1512, 1200],
      [1560, 1224],
      [1608, 1260],
      [1644, 1284],
      [1680, 1308],
      [1740, 1344],
      [1776, 1368],
      [1836, 1404],
      [1860, 1428],
      [1956, 1488],
      [1980, 1500],
      [2028, 1524],
      [2052, 1548],
      [2136, 1596],
      [2160, 1620],
    ],
    source: curves,
  },
  {
    die: "h16s",
    cores: 16,
    maxMhz: 2364,
    effectiveMhz: [
      [744, 624],
      [900, 732],
      [924, 744],
      [1032, 816],
      [1164, 912],
      [1272, 984],
      [1356, 1032],
      [1500, 1140],
      [1524, 1152],
      [1668, 1248],
      [1680, 1260],
      [1800, 1344],
      [1812, 1356],
      [1932, 1440],
      [1956, 1464],
      [2064, 1536],
      [2148, 1608],
      [2160, 1608],
      [2208, 1656],
      [2232, 1668],
      [2256, 1692],
      [2292, 1716],
      [2304, 1728],
      [2328, 1752],
      [2364, 1788],
    ],
    source: curves,
  },
  {
    die: "h17",
    cores: 4,
    maxMhz: 2172,
    effectiveMhz: [
      [396, 360],
      [456, 396],
      [624, 528],
      [708, 600],
      [816, 660],
      [900, 720],
      [972, 780],
      [1068, 840],
      [1104, 876],
      [1200, 936],
      [1236, 960],
      [1332, 1032],
      [1344, 1044],
      [1440, 1116],
      [1536, 1188],
      [1620, 1248],
      [1656, 1272],
      [1716, 1308],
      [1764, 1344],
      [1812, 1380],
      [1860, 1416],
      [1908, 1452],
      [1944, 1476],
      [1992, 1512],
      [2016, 1536],
      [2064, 1560],
      [2076, 1572],
      [2124, 1608],
      [2148, 1632],
      [2172, 1644],
    ],
    source: curves,
  },
  {
    die: "h17s",
    cores: 16,
    maxMhz: 2364,
    effectiveMhz: [
      [744, 624],
      [900, 732],
      [924, 744],
      [1032, 816],
      [1164, 912],
      [1272, 984],
      [1356, 1032],
      [1500, 1140],
      [1524, 1152],
      [1668, 1248],
      [1680, 1260],
      [1800, 1344],
      [1812, 1356],
      [1932, 1440],
      [1956, 1464],
      [2064, 1536],
      [2148, 1608],
      [2160, 1608],
      [2208, 1656],
      [2232, 1668],
      [2256, 1692],
      [2292, 1716],
      [2304, 1728],
      [2328, 1752],
      [2364, 1788],
    ],
    source: curves,
  },
  {
    die: "h17c",
    cores: 32,
    maxMhz: 2364,
    effectiveMhz: [
      [744, 624],
      [900, 732],
      [924, 744],
      [1032, 816],
      [1164, 912],
      [1272, 984],
      [1356, 1032],
      [1500, 1140],
      [1524, 1152],
      [1668, 1248],
      [1680, 1260],
      [1800, 1344],
      [1812, 1356],
      [1932, 1440],
      [1956, 1464],
      [2064, 1536],
      [2148, 1608],
      [2160, 1608],
      [2208, 1656],
      [2232, 1668],
      [2256, 1692],
      [2292, 1716],
      [2304, 1728],
      [2328, 1752],
      [2364, 1788],
    ],
    source: curves,
  },
  {
    die: "h17d",
    cores: 64,
    maxMhz: 2364,
    effectiveMhz: [
      [744, 624],
      [900, 732],
      [924, 744],
      [1032, 816],
      [1164, 912],
      [1272, 984],
      [1356, 1032],
      [1500, 1140],
      [1524, 1152],
      [1668, 1248],
      [1680, 1260],
      [1800, 1344],
      [1812, 1356],
      [1932, 1440],
      [1956, 1464],
      [2064, 1536],
      [2148, 1608],
      [2160, 1608],
      [2208, 1656],
      [2232, 1668],
      [2256, 1692],
      [2292, 1716],
      [2304, 1728],
      [2328, 1752],
      [2364, 1788],
    ],
    source: curves,
  },
  { die: "m11", cores: 1, maxMhz: 500, effectiveMhz: [[500, 500]], source: curves },
];

/** Bridge operations and their latencies, in the order in which ties are decided. */
export const BRIDGE_ROWS: readonly BridgeRow[] = [
  {
    op: "sdpa",
    points: [[[4, 32, 64], 111.5], [[8, 64, 64], 172.5], [[8, 128, 64], 252.0], [[16, 128, 128], 637.1]],
    source: calibration,
  },
  {
    op: "argmax",
    points: [[[1, 128], 90.7], [[1, 512], 90.6], [[4, 512], 85.6], [[1, 2048], 90.0], [[8, 1024], 91.2]],
    source: calibration,
  },
  {
    op: "topk",
    points: [[[1, 128], 87.5], [[1, 512], 75.6], [[4, 512], 385.2], [[1, 2048], 101.1], [[8, 1024], 607.0]],
    source: calibration,
  },
  { op: "sort", points: [[[1, 128], 57315.5], [[1, 512], 136627.7]], source: calibration },
  { op: "cross_product", points: [[[], 24988.9]], source: calibration },
  {
    op: "cross_correlation",
    points: [[[16, 16, 3, 3], 52473.0], [[32, 32, 3, 3], 22595.2], [[64, 64, 3, 3], 32906.0], [
      [96, 96, 3, 3],
      40772.8,
    ]],
    source: calibration,
  },
  {
    op: "cost_volume",
    points: [[[64, 1], 51400.2], [[256, 2], 74803.8], [[512, 4], 64731.1], [[1024, 4], 71553.8]],
    source: calibration,
  },
  {
    op: "fps",
    points: [[[128, 32], 583275.5], [[512, 128], 2538468.6], [[1024, 256], 5583236.5], [[2048, 256], 5672540.7]],
    source: calibration,
  },
  {
    op: "radius_search",
    points: [[[128, 32], 53574.5], [[512, 128], 61142.5], [[1024, 256], 70211.0], [[2048, 512], 173707.1]],
    source: calibration,
  },
  {
    op: "minmax_norm",
    points: [[[4, 16, 16], 41948.1], [[16, 32, 32], 59956.8], [[64, 32, 32], 48960.9], [[64, 64, 64], 130352.0]],
    source: calibration,
  },
  {
    op: "lrn",
    points: [[[4, 16, 16], 88966.0], [[8, 32, 32], 95064.2], [[15, 32, 32], 61860.7], [[15, 64, 64], 62664.8]],
    source: calibration,
  },
  {
    op: "space_to_channel",
    points: [[[4, 16, 16], 58685.0], [[16, 32, 32], 52832.2], [[64, 32, 32], 54102.4], [[64, 64, 64], 119004.8]],
    source: calibration,
  },
  {
    op: "channel_to_space",
    points: [[[8, 16, 16], 55078.1], [[16, 32, 32], 30764.1], [[64, 32, 32], 51982.2], [[64, 64, 64], 111665.1]],
    source: calibration,
  },
  {
    op: "space_to_batch",
    points: [[[4, 16, 16], 43235.4], [[16, 32, 32], 41363.0], [[64, 32, 32], 47457.0], [[64, 64, 64], 127604.6]],
    source: calibration,
  },
  {
    op: "batch_to_space",
    points: [[[4, 4, 16, 16], 41718.9], [[4, 16, 32, 32], 68106.8], [[4, 64, 32, 32], 125125.4], [
      [4, 64, 64, 64],
      325799.9,
    ]],
    source: calibration,
  },
  {
    op: "flatten",
    points: [[[4, 16, 16], 42900.3], [[16, 32, 32], 26152.3], [[64, 32, 32], 56263.5]],
    source: calibration,
  },
  {
    op: "input_view",
    points: [[[128, 64], 34751.0], [[512, 256], 50080.9], [[2048, 1024], 22351.3], [[8192, 4096], 53592.2]],
    source: calibration,
  },
  { op: "dynamic_slice", points: [[[], 51589.7]], source: calibration },
  {
    op: "scaled_elementwise",
    points: [[[128], 63548.0], [[512], 34768.7], [[2048], 34390.6], [[8192], 59367.7]],
    source: calibration,
  },
];
