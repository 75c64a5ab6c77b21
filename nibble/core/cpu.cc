#include "nibble/core/cpu.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <fstream>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "nibble/core/error.h"

namespace nibble {
namespace {

// `needs` is what a kernel may use; a cap allows what comes with processors of that kind as well.
constexpr IsaRow kIsas[] = {
    {"ref", true, 0, 0, 0},
    {"avx2", NIBBLE_BUILT_AVX2, kAvx2, kAvx2, kAvx2},
    {"avxvnni", NIBBLE_BUILT_AVXVNNI, kAvxVnni, kAvx2 | kAvxVnni, kAvx2 | kAvxVnni},
    {"avx512", NIBBLE_BUILT_AVX512, kAvx512, kAvx2 | kAvx512, kAvx2 | kAvx512},
    {"avx512vnni", NIBBLE_BUILT_AVX512VNNI, kAvx512Vnni, kAvx2 | kAvx512 | kAvx512Vnni,
     kAvx2 | kAvxVnni | kAvx512 | kAvx512Vnni | kAvx512Bf16},
    {"amx", NIBBLE_BUILT_AMX, kAmx, kAvx2 | kAvx512 | kAvx512Vnni | kAmx,
     kAvx2 | kAvxVnni | kAvx512 | kAvx512Vnni | kAvx512Bf16 | kAmx},
};

#if defined(__x86_64__)
// AMX state must be asked for, once a process (Linux, Documentation/arch/x86/xstate.rst).
bool amx_permitted() {
  constexpr long kReqXcompPerm = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kReqXcompPerm, kTileData) == 0;
}

bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
}

bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & (1u << 29)) != 0;
}

bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  const bool tile = (d & (1u << 24)) != 0, int8 = (d & (1u << 25)) != 0,
             bf16 = (d & (1u << 22)) != 0;
  return tile && int8 && bf16 && amx_permitted();
}

uint32_t detect() {
  __builtin_cpu_init();
  uint32_t bits = 0;
  // Not every compiler knows F16C by name.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) bits |= kAvx2;
  if ((bits & kAvx2) != 0 && has_avx_vnni()) bits |= kAvxVnni;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    bits |= kAvx512;
    if (__builtin_cpu_supports("avx512vnni")) bits |= kAvx512Vnni;
    if (__builtin_cpu_supports("avx512bf16")) bits |= kAvx512Bf16;
    if (has_amx()) bits |= kAmx;
  }
  return bits;
}
#else
uint32_t detect() { return 0; }
#endif

// What there are kernels for; other bits promise what is not there.
uint32_t built_bits() {
  uint32_t bits = 0;
  for (const IsaRow& r : kIsas) bits |= r.built ? r.bit : 0;
  return (bits & kAvx512) != 0 ? bits | kAvx512Bf16 : bits;
}

std::string model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

const IsaRow& parse_isa(std::string_view name) {
  for (const IsaRow& r : kIsas) {
    if (r.name == name) return r;
  }
  std::vector<std::string_view> names;
  for (const IsaRow& r : kIsas) names.push_back(r.name);
  throw invalid_argument(fmt::format("NIBBLE_ISA={}: not an instruction set; use one of {}",
                                     printable(name), fmt::join(names, ", ")));
}

Cpu find() {
  Cpu out;
  out.detected = detect() & built_bits();
  out.bits = out.detected;
  if (const char* cap = std::getenv("NIBBLE_ISA"); cap != nullptr && *cap != '\0')
    out.bits &= parse_isa(cap).allows;
  for (const IsaRow& r : kIsas) {
    if ((out.bits & r.bit) == r.bit) out.isa = r.name;
  }
  out.model = model_name();
  return out;
}

}  // namespace

const Cpu& cpu() {
  static const Cpu found = find();
  return found;
}

std::span<const IsaRow> isas() { return kIsas; }

std::vector<std::string_view> available_isas() {
  std::vector<std::string_view> out;
  for (const IsaRow& r : kIsas) {
    if ((cpu().detected & r.bit) == r.bit) out.push_back(r.name);
  }
  return out;
}

}  // namespace nibble
