// A product of any kind, made up with everything it needs in memory, for the tests of kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "nibble/kernels/kernels.h"

namespace nibble {

enum class Fill { noise, lowest, highest, alternating };

// Scales, or offsets, in every type.
struct StoredScales {
  std::vector<float> wide, supers;
  std::vector<uint16_t> narrow;
  std::vector<int8_t> bytes;
  const void* of(ScaleType type) const;
};

// A product with everything it needs in memory.
struct Case {
  GemmWeight w;
  GemmInput in;
  std::vector<float> bias, residual, x, row_scales, table;
  StoredScales scales, offsets;
  std::vector<uint8_t> data, zeros;
  std::vector<int8_t> codes;
  std::vector<int32_t> sums;
  std::string label;
};

struct Wanted {
  GemmTraits traits;
  ScaleType scale = ScaleType::f16;
  bool asymmetric = false, one_scale = false, with_bias = true, with_offsets = false;
  Fill fill = Fill::noise;
};

/// Random but for `fill`; the same for the same arguments.
std::unique_ptr<Case> make_case(const Wanted& wanted, int64_t m);
/// The products of a kernel, slice by slice, after packing where it packs. Expects that nothing
/// outside was written, and that unpacking gives what was packed.
std::vector<float> run_case(const Kernel& kernel, const Case& c);

inline bool is_ref(const Kernel& k) { return k.isa == KernelIsa::ref; }
const Kernel& reference_for(const GemmTraits& traits);

/// Runs every other kernel that accepts the product, and notes its name; all of them promise the
/// reference's bytes.
void compare(const Wanted& wanted, int64_t m, std::set<std::string>& ran);

}  // namespace nibble
