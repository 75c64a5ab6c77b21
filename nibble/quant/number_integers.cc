// int2 to int8: steps of a grid, the full range of the code.
#include "nibble/quant/number.h"

namespace nibble {
namespace {

NumberTraits integers(std::string_view name, int bits,
                      std::vector<std::string_view> examples = {}) {
  NumberTraits out;
  out.name = name;
  out.kind = NumberKind::integers;
  out.bits = bits;
  out.parts = kGranularityParts | kAsymPart | kActivationParts;
  out.examples = std::move(examples);
  return out;
}

}  // namespace

const NumberTraits& int2_number() {
  static const NumberTraits kRow = integers("int2", 2, {"int2:g16:asym"});
  return kRow;
}

const NumberTraits& int3_number() {
  static const NumberTraits kRow = integers("int3", 3, {"int3:g16"});
  return kRow;
}

const NumberTraits& int4_number() {
  static const NumberTraits kRow =
      integers("int4", 4, {"int4:g128", "int4:g16", "int4:g32:asym", "int4:g128:a8"});
  return kRow;
}

const NumberTraits& int5_number() {
  static const NumberTraits kRow = integers("int5", 5);
  return kRow;
}

const NumberTraits& int6_number() {
  static const NumberTraits kRow = integers("int6", 6);
  return kRow;
}

const NumberTraits& int7_number() {
  static const NumberTraits kRow = integers("int7", 7);
  return kRow;
}

const NumberTraits& int8_number() {
  static const NumberTraits kRow =
      integers("int8", 8, {"int8", "int8:tensor", "int8:a8", "int8:a8static", "int8:a8outlier"});
  return kRow;
}

}  // namespace nibble
