/**
 * Reads what matters of a 64-bit Mach-O file. Names and numbers: apple-oss-distributions/xnu, EXTERNAL_HEADERS/mach-o/
 * loader.h and nlist.h.
 *
 * @module
 */

/** A parsed Mach-O image. */
export interface MachO {
  /** `cputype`: 0x0100000c is arm64. */
  readonly cpuType: number;
  /** `filetype`: 6 is MH_DYLIB. */
  readonly fileType: number;
  /** LC_BUILD_VERSION: platform (1 is macOS) and `major.minor` of the oldest system. */
  readonly platform: number;
  /** Oldest system it runs on. */
  readonly minOs: string;
  /** LC_ID_DYLIB. */
  readonly installName: string;
  /** LC_LOAD_DYLIB and its weak, upward and re-export forms, in order. */
  readonly dependencies: readonly string[];
  /** Defined external symbols. */
  readonly exports: readonly string[];
  /** Undefined symbols with the dependency each is bound to. */
  readonly undefined: Readonly<Record<string, string>>;
}

const MH_MAGIC_64 = 0xfeedfacf;
const LC_SYMTAB = 0x2, LC_ID_DYLIB = 0xd, LC_BUILD_VERSION = 0x32;
const LC_LOAD_DYLIBS = [0xc, 0x80000018, 0x8000001f, 0x80000023];
const N_STAB = 0xe0, N_PEXT = 0x10, N_TYPE = 0x0e, N_EXT = 0x01, N_UNDF = 0;

function cString(bytes: Uint8Array, at: number): string {
  return new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)));
}

/**
 * Parses a file.
 *
 * @param bytes The whole file.
 * @returns What it declares.
 */
export function parseMachO(bytes: Uint8Array): MachO {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, true);
  if (u32(0) !== MH_MAGIC_64) throw new Error(`magic is 0x${u32(0).toString(16)}, not a 64-bit Mach-O`);
  let platform = 0, minOs = "", installName = "", symtab = 0;
  const dependencies: string[] = [];
  let at = 32;
  for (let i = 0; i < u32(16); i++) {
    const command = u32(at);
    if (command === LC_BUILD_VERSION) {
      platform = u32(at + 8);
      minOs = `${u32(at + 12) >>> 16}.${(u32(at + 12) >>> 8) & 255}`;
    } else if (command === LC_ID_DYLIB) installName = cString(bytes, at + u32(at + 8));
    else if (LC_LOAD_DYLIBS.includes(command)) dependencies.push(cString(bytes, at + u32(at + 8)));
    else if (command === LC_SYMTAB) symtab = at;
    at += u32(at + 4);
  }
  const exports: string[] = [];
  const missing: Record<string, string> = {};
  for (let i = 0; symtab !== 0 && i < u32(symtab + 12); i++) {
    const entry = u32(symtab + 8) + 16 * i;
    const name = cString(bytes, u32(symtab + 16) + u32(entry));
    const type = bytes[entry + 4]!;
    if ((type & N_STAB) !== 0 || (type & N_EXT) === 0) continue;
    if ((type & N_TYPE) === N_UNDF) missing[name] = dependencies[bytes[entry + 7]! - 1] ?? "nothing";
    else if ((type & N_PEXT) === 0) exports.push(name);
  }
  return {
    cpuType: u32(4),
    fileType: u32(12),
    platform,
    minOs,
    installName,
    dependencies,
    exports,
    undefined: missing,
  };
}
