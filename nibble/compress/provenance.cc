#include "nibble/compress/provenance.h"

#include "nibble/compress/recipe.h"
#include "nibble/core/files.h"
#include "nibble/core/hash.h"
#include "nibble/core/posix.h"
#include "nibble/core/version.h"
#include "nibble/model/adapted_model.h"

namespace nibble {
namespace {

// Of a path, without the folder that it is in.
std::string file_name(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return split_path(path).name;
}

void write_source(const ImportanceSource& source, JsonWriter& out) {
  out.field("imatrix", source.name).field("entries", source.entries);
  if (source.chunks) out.field("chunks", *source.chunks);
  if (source.chunk_size) out.field("chunk_size", *source.chunk_size);
}

void write_calibration(const QuantizeResult& result, JsonWriter& out) {
  if (!result.sites.empty()) {
    out.key("rescaled").begin_array();
    for (const SiteReport& r : result.sites) write_report(r, out);
    out.end_array();
  }
  if (result.calibration.empty()) return;
  out.key("calibration").begin_object();
  if (result.importance)
    write_source(*result.importance, out);
  else
    out.field("text", result.calibration);
  out.field("content_hash", result.calibration_hash).key("weights").begin_array();
  for (const LayerReport& r : result.layers) write_report(r, out);
  out.end_array().end_object();
}

}  // namespace

void write_adapters(const std::vector<std::string>& adapters, JsonWriter& out) {
  if (adapters.empty()) return;
  out.key("adapters").begin_array();
  for (const AdapterChoice& a : parse_adapters(adapters))
    out.begin_object().field("name", file_name(a.path)).field("weight", a.weight).end_object();
  out.end_array();
}

void begin_provenance(std::string_view command, JsonWriter& out) {
  out.begin_object().field("schema_version", kProvenanceSchema);
  out.field("nibble_version", version()).field("command", command);
}

std::string copy_provenance(const Model& input, std::string_view command,
                            const std::vector<std::string>& adapters) {
  JsonWriter out;
  begin_provenance(command, out);
  out.key("input").begin_object().field("model_type", model_type(input.config));
  out.field("file_bytes", input.weights->file_bytes());
  out.field("stored_in", scheme_summary(input));
  write_adapters(adapters, out);
  return out.end_object().end_object().finish();
}

std::string provenance(const Model& input, const QuantizeOptions& options,
                       const QuantizeResult& result) {
  JsonWriter out;
  begin_provenance(options.command, out);
  write_recipe(options, out);
  out.key("input").begin_object().field("model_type", model_type(input.config));
  out.field("file_bytes", result.input_file_bytes);
  out.field("content_hash", content_hash(input));
  write_adapters(options.adapters, out);
  out.end_object();
  out.key("output").begin_object();
  if (result.file_bytes > 0) out.field("file_bytes", result.file_bytes);
  out.field("bits_per_weight", result.bits_per_weight);
  out.field("matrices_quantized", result.quantized).field("matrices_kept", result.kept);
  out.array("warnings", result.warnings).end_object();
  write_calibration(result, out);
  return out.end_object().finish();
}

}  // namespace nibble
