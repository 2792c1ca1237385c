/* isa.h - which vector instructions this process uses. Chosen once from the CPU; ANEFORGE_HOST_ISA
 * (avx512|avx2|neon|portable) asks for a lesser one, for tests. Results never depend on it. */
#ifndef ANEFORGE_HOST_ISA_H
#define ANEFORGE_HOST_ISA_H

enum isa { ISA_PORTABLE, ISA_NEON, ISA_AVX2, ISA_AVX512 };

enum isa isa_get(void);
const char *isa_name(enum isa isa);

#endif
