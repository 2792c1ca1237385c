/**
 * The af_* functions of shim/aneforge.h as one `Deno.dlopen` table. A row per function, with the C parameter names.
 *
 * Handles are pointers, buffers are typed arrays. Counts are u64 and must be passed as BigInt: a JS number leaves Deno's
 * fast call path.
 *
 * @module
 */

/** Table for `Deno.dlopen`. */
export const SYMBOLS = {
  af_abi_version: { parameters: [], result: "u32" },
  af_last_error: { parameters: [], result: "pointer" },

  af_device_open: { parameters: [/* provider */ "buffer", /* library */ "buffer"], result: "pointer" },
  af_device_close: { parameters: [/* device */ "pointer"], result: "void" },
  af_device_info: { parameters: [/* device */ "pointer"], result: "pointer" },
  af_live_programs: { parameters: [], result: "u32" },

  af_program_compile: {
    parameters: [
      /* device */ "pointer",
      /* mil_path */ "buffer",
      /* cache_dir */ "buffer",
      /* device_mask */ "u64",
      /* flags */ "u32",
      /* n_inputs */ "u32",
      /* n_outputs */ "u32",
      /* names */ "buffer",
      /* names_bytes */ "u64",
      /* dtypes */ "buffer",
      /* elements */ "buffer",
    ],
    result: "pointer",
  },
  af_program_release: { parameters: [/* program */ "pointer"], result: "void" },
  af_compile_check: {
    parameters: [
      /* device */ "pointer",
      /* mil_path */ "buffer",
      /* cache_dir */ "buffer",
      /* device_mask */ "u64",
      /* target */ "buffer",
    ],
    result: "i32",
  },

  af_write_f32: {
    parameters: [/* program */ "pointer", /* input */ "u32", /* data */ "buffer", /* n */ "u64"],
    result: "i32",
  },
  af_write_f16: {
    parameters: [/* program */ "pointer", /* input */ "u32", /* data */ "buffer", /* n */ "u64"],
    result: "i32",
  },
  af_write_bytes: {
    parameters: [/* program */ "pointer", /* input */ "u32", /* data */ "buffer", /* bytes */ "u64"],
    result: "i32",
  },
  af_read_f32: {
    parameters: [/* program */ "pointer", /* output */ "u32", /* data */ "buffer", /* n */ "u64"],
    result: "i32",
  },
  af_read_f16: {
    parameters: [/* program */ "pointer", /* output */ "u32", /* data */ "buffer", /* n */ "u64"],
    result: "i32",
  },
  af_input_data: { parameters: [/* program */ "pointer", /* input */ "u32"], result: "pointer" },
  af_output_data: { parameters: [/* program */ "pointer", /* output */ "u32"], result: "pointer" },
  af_share_buffer: {
    parameters: [/* program */ "pointer", /* output */ "u32", /* input */ "u32"],
    result: "i32",
  },

  af_execute: { parameters: [/* program */ "pointer"], result: "i32" },
  af_submit: { parameters: [/* program */ "pointer"], result: "i32" },
  af_wait: { parameters: [/* program */ "pointer"], result: "i32", nonblocking: true },
  af_busy: { parameters: [/* program */ "pointer"], result: "u32" },
  af_program_error: {
    parameters: [/* program */ "pointer", /* text */ "buffer", /* size */ "u64"],
    result: "u64",
  },
  af_signaled_value: { parameters: [/* program */ "pointer"], result: "u64" },

  af_explain: {
    parameters: [
      /* device */ "pointer",
      /* mil_path */ "buffer",
      /* target */ "buffer",
      /* text */ "buffer",
      /* size */ "u64",
      /* length */ "buffer",
    ],
    result: "i32",
  },
  af_report: {
    parameters: [
      /* device */ "pointer",
      /* mil_path */ "buffer",
      /* n_inputs */ "u32",
      /* data */ "buffer",
      /* bytes */ "buffer",
      /* text */ "buffer",
      /* size */ "u64",
      /* length */ "buffer",
    ],
    result: "i32",
  },

  af_f32_to_f16: { parameters: [/* dst */ "buffer", /* src */ "buffer", /* n */ "u64"], result: "void" },
  af_f16_to_f32: { parameters: [/* dst */ "buffer", /* src */ "buffer", /* n */ "u64"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of an opened libaneforge. */
export type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
