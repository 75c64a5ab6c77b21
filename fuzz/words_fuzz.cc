#include <string_view>

#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "nibble/core/random.h"

namespace {

template <class Work>
void allow_error(Work work) {
  try {
    work();
  } catch (const nibble::Error&) {
  }
}

}  // namespace

// The small languages: a scheme is spelled as it was read, rules have theirs, and a saved state of
// the random numbers is the one that it says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  allow_error([&] {
    const nibble::QuantScheme scheme = nibble::parse_scheme(text);
    if (nibble::parse_scheme(nibble::to_string(scheme)) != scheme) __builtin_trap();
  });
  allow_error([&] { (void)nibble::parse_keep_rule(text); });
  allow_error([&] { (void)nibble::parse_set_rule(text); });
  allow_error([&] {
    auto random = nibble::PyRandom::restore(text);
    const auto same = nibble::PyRandom::restore(random.save());
    if (same.save() != random.save()) __builtin_trap();
    (void)random.random();
  });
  return 0;
}
