/**
 * Programs the Apple Neural Engine directly: a lazy tensor graph becomes one fused program, which runs on the Neural
 * Engine of an Apple-silicon Mac, and elsewhere on a host device that computes the same numbers on the CPU.
 *
 * @example
 * ```ts
 * import * as af from "./mod.ts";
 *
 * const x = af.input([1, 4]);
 * using net = af.compile(x.relu());
 * console.log(net.run([[-1, 0, 1, 2]]).toNested()); // [[0, 0, 1, 2]]
 * ```
 *
 * @module
 */

export * from "./src/errors.ts";
export {
  type AvgPoolOptions,
  type Axes,
  constant,
  type Dtype,
  input,
  type InputOptions,
  type Operand,
  parameter,
  type ParameterOptions,
  type PoolOptions,
  type PortDtype,
  type ReduceOptions,
  type Shape,
  Tensor,
} from "./src/graph/tensor.ts";
export type { SliceRange } from "./src/graph/slice.ts";
export * from "./src/graph/functions.ts";
export * from "./src/graph/images.ts";
export * from "./src/compose/attention.ts";
export * from "./src/compose/convolution.ts";
export * from "./src/compose/einsum.ts";
export * from "./src/compose/feed_forward.ts";
export * from "./src/compose/quantize.ts";
export * from "./src/compose/rearrange.ts";
export * from "./src/compose/softmax.ts";
export { Paired, paired, pairedSubtract } from "./src/paired.ts";
export * as special from "./src/special.ts";
export { array, NDArray, type NestedArray, type TensorData, type TypedArray } from "./src/graph/ndarray.ts";
export { onWarning, silence, WARNING_KINDS, type WarningHandler, type WarningKind } from "./src/warnings.ts";
export { compile, compileMulti, type CompileOptions, type OptLevel, tune, type Tuned } from "./src/compile/compile.ts";
export type { Compression, CompressionOptions } from "./src/compile/compression.ts";
export { explain } from "./src/compile/explain.ts";
export { NumericsReport, numericsReport, type NumericsTotals, type OpNumerics } from "./src/compile/numerics_report.ts";
export type { TuneOptions, TuneTrial } from "./src/compile/tune.ts";
export {
  type PrecisionKind,
  type PrecisionRecord,
  type PrecisionRisk,
  precisionRisk,
} from "./src/compile/precision.ts";
export { resetCompileBreaker } from "./src/compile/backoff.ts";
export type { LoadedProgram, PortInfo, PortKey, Runner } from "./src/compile/runner.ts";
export { Model } from "./src/compile/model.ts";
export { MultiModel, type Outputs } from "./src/compile/multi_model.ts";
export { device, type DeviceInfo, type DeviceName } from "./ffi/device.ts";
export {
  liveProgramCount,
  MAX_PROGRAMS,
  type PortArray,
  type PortSpec,
  Program,
  type ProgramOptions,
} from "./ffi/program.ts";
export {
  archForFamily,
  FAMILIES,
  type Family,
  familyOfArch,
  hasTextureEngine,
  limit,
  type LimitName,
  MIN_FAMILY,
  nativeStreams,
  type OpStatus,
  opStatus,
  supportsMil,
  type Target,
  type TargetRow,
  TARGETS,
  type WeightEncoding,
} from "./src/targets/targets.ts";
export { detectFamily } from "./src/targets/detect.ts";
export { type Excess, type Preflight, preflight, type PreflightEntry } from "./src/targets/preflight.ts";
export {
  FP16_SLICE_SAT,
  type Fp16DivergenceOptions,
  type Fp16Risk,
  fp16Risks,
  type Fp16Verdict,
  predictFp16Divergence,
} from "./src/targets/divergence.ts";
export {
  type Bound,
  type CostChip,
  estimate,
  type EstimateOptions,
  type EstimateProvenance,
  estimateProvenance,
  type PeakProjection,
  projectPeak,
  type Roofline,
  roofline,
  type RooflineRow,
} from "./src/targets/cost.ts";
export { crossCompileCheck } from "./src/compile/cross_check.ts";
export {
  categories,
  type Chip,
  type DeviceStatus,
  deviceStatus,
  isNative,
  minNativeFamily,
  type OpBucket,
  type OpInfo,
  opInfo,
  opsOn,
  type SweepClass,
  walledEverywhere,
} from "./src/targets/capabilities.ts";
export * from "./src/autograd/backward.ts";
export { adamRate, type AdamState, adamStep, type AdamStepOptions, sgdStep } from "./src/autograd/device_optimizer.ts";
export * from "./src/autograd/losses.ts";
export { Adam, type AdamOptions, HostOptimizer, type OptimizerOptions, SGD } from "./src/autograd/optimizers.ts";
export { type Objective, type Rows, Trainer, type TrainerOptions } from "./src/autograd/trainer.ts";
export { Random } from "./src/random.ts";
