// Architectures: the mapping of config keys and tensor names onto DecoderConfig. One small file
// each, named in list.inc; nothing else in nibble knows an architecture's name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/format/gguf_metadata.h"
#include "nibble/model/config.h"

namespace nibble {

class GgufWriter;

/// A key of GGUF's metadata, behind "ARCHITECTURE.", and the key of config.json that says the same.
struct GgufKey {
  std::string_view key, config;
  bool required = true;
};

/// How GGUF files hold an architecture.
struct GgufArchitecture {
  std::string_view name;  ///< general.architecture
  std::span<const GgufKey> keys;
  /// Queries and keys are turned in pairs of neighbours: rows of each head stand in that order.
  bool paired_heads = false;
  /// Whether a file of this name is this architecture, where several share the name; null: it is.
  bool (*is_it)(const GgufMetadata& metadata) = nullptr;
  /// What no single key says, as keys of config.json.
  void (*read_more)(const GgufMetadata& metadata, JsonWriter& out) = nullptr;
  void (*write_more)(const DecoderConfig& config, GgufWriter& out) = nullptr;
  /// Whether what the keys say gives `config` again; null: it does where no layer sees a window.
  bool (*says)(const DecoderConfig& config) = nullptr;
};

struct Architecture {
  std::string_view model_type;
  /// Reads config.json; throws Error{corrupt} naming the key.
  DecoderConfig (*read_config)(const JsonFields& fields);
  /// The keys of config.json that read_config needs to give the same config back.
  void (*write_config)(const DecoderConfig& config, JsonWriter& out);
  /// The stored name of a parameter, without DecoderConfig::name_prefix.
  std::string (*tensor_name)(const ParamKey& key);
  /// Quantizing covers embeddings and head too unless told otherwise (models too small to spare
  /// them).
  bool cover_every_matrix = false;
  /// The name_prefix of files that hold the whole model; they may lack it.
  std::string_view prefix = "";
  /// Plain files hold the matrices of the blocks as [k, n].
  bool conv1d = false;
  /// Keys of its config.json that read_config does not ask for and that change nothing that nibble
  /// computes, beside those of every architecture (config_keys.cc).
  std::span<const std::string_view> harmless_keys = {};
  /// Null where GGUF has no such architecture.
  const GgufArchitecture* in_gguf = nullptr;
  /// As other programs look for experts, where these look for them in no other way.
  Stacking stacking = Stacking::none;
};

/// Error{unsupported}, listing what there is, for a model_type that is not in list.inc.
const Architecture& architecture(std::string_view model_type);
std::vector<std::string_view> architecture_names();
/// The architecture of a GGUF file; Error{unsupported} lists those there are.
const Architecture& gguf_architecture(const GgufMetadata& metadata);

}  // namespace nibble
