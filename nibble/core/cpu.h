// What this processor can do, found once at run time, and the cap that NIBBLE_ISA puts on it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// Bits a kernel may need. `ref` kernels need none.
enum CpuBit : uint32_t {
  kAvx2 = 1u << 0,     ///< AVX2, FMA and F16C
  kAvxVnni = 1u << 1,  ///< VEX-encoded VNNI
  kAvx512 = 1u << 2,   ///< F, BW, DQ, VL
  kAvx512Vnni = 1u << 3,
  kAvx512Bf16 = 1u << 4,
  kAmx = 1u << 5,  ///< tile, int8 and bf16
};

/// An instruction set that kernels are written for: the one table of them.
struct IsaRow {
  std::string_view name;
  bool built = false;   ///< cmake/NibbleIsa.cmake compiled kernels for it
  uint32_t bit = 0;     ///< that makes it what it is
  uint32_t needs = 0;   ///< to run its kernels
  uint32_t allows = 0;  ///< where NIBBLE_ISA caps at it
};
/// Lowest first, in the order of KernelIsa (kernels/kernel.h).
std::span<const IsaRow> isas();

struct Cpu {
  uint32_t bits = 0;      ///< what may be used: detected, then capped
  uint32_t detected = 0;  ///< what the processor and the operating system offer
  std::string_view isa;   ///< "avx512vnni": the name of the highest level in use
  std::string model;      ///< "AMD EPYC 9xx5", for reports
};

/// The processor, detected at the first call. NIBBLE_ISA=ref|avx2|avxvnni|avx512|avx512vnni|amx
/// caps it; another value is an Error{invalid_argument}.
const Cpu& cpu();
/// The levels this machine can run, lowest first: the caps under which tests run again.
std::vector<std::string_view> available_isas();

}  // namespace nibble
