// affine2 to affine8: unsigned steps from an offset of each group, scale * code + offset, as MLX
// has them (mlx.core.quantize). Scales and offsets are stored alike.
#include "nibble/quant/number.h"

namespace nibble {
namespace {

NumberTraits affine(std::string_view name, int bits) {
  NumberTraits out;
  out.name = name;
  out.kind = NumberKind::blocks;
  out.bits = bits;
  out.parts = kGroupPart | kA8Part | kA8FullPart | kA8StaticPart;
  out.default_group = 64;
  out.offsets = true;
  return out;
}

}  // namespace

const NumberTraits& affine2_number() {
  static const NumberTraits kRow = affine("affine2", 2);
  return kRow;
}

const NumberTraits& affine3_number() {
  static const NumberTraits kRow = affine("affine3", 3);
  return kRow;
}

const NumberTraits& affine4_number() {
  static const NumberTraits kRow = affine("affine4", 4);
  return kRow;
}

const NumberTraits& affine5_number() {
  static const NumberTraits kRow = affine("affine5", 5);
  return kRow;
}

const NumberTraits& affine6_number() {
  static const NumberTraits kRow = affine("affine6", 6);
  return kRow;
}

const NumberTraits& affine8_number() {
  static const NumberTraits kRow = affine("affine8", 8);
  return kRow;
}

}  // namespace nibble
