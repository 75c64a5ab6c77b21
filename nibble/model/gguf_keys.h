// The keys of an architecture in GGUF's metadata: "llama.block_count".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nibble/format/gguf_metadata.h"

namespace nibble {

/// Errors name the whole key.
class GgufKeys {
 public:
  /// Keeps a reference to the metadata.
  GgufKeys(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

  std::string full(std::string_view key) const { return prefix_ + std::string(key); }
  const GgufValue* find(std::string_view key) const { return metadata_.find(full(key)); }
  int64_t integer(std::string_view key) const { return metadata_.integer(full(key)); }
  std::optional<int64_t> integer_if(std::string_view key) const {
    return metadata_.integer_if(full(key));
  }
  std::optional<std::string> string_if(std::string_view key) const {
    return metadata_.string_if(full(key));
  }
  /// 1e-5 as an f32 is 9.99999974e-06: of the numbers that are this one in f32 the shortest, which
  /// was meant.
  double number(std::string_view key) const;
  std::optional<double> number_if(std::string_view key) const {
    return find(key) == nullptr ? std::nullopt : std::optional(number(key));
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
};

}  // namespace nibble
