#include "nibble/compress/provenance.h"

#include "nibble/core/files.h"
#include "nibble/core/hash.h"
#include "nibble/core/version.h"

namespace nibble {
namespace {

constexpr int kSchemaVersion = 1;

void write_recipe(const QuantizeOptions& options, JsonWriter& out) {
  out.key("recipe").begin_object();
  out.field("scheme", to_string(options.scheme)).field("method", options.method);
  out.field("scale_dtype", to_string(options.scale_dtype));
  out.field("half_step_divisor", options.half_step_divisor);
  std::vector<std::string> keep;
  for (const KeepRule& r : options.keep) {
    keep.push_back(r.dtype ? r.pattern + "=" + std::string(to_string(*r.dtype)) : r.pattern);
  }
  out.array("keep", keep).array("also", options.also).end_object();
}

}  // namespace

void write_provenance(const std::string& folder, const ModelFolder& input,
                      const QuantizeOptions& options, const QuantizeResult& result) {
  JsonWriter out;
  out.begin_object().field("schema_version", kSchemaVersion);
  out.field("nibble_version", version()).field("command", options.command);
  write_recipe(options, out);
  out.key("input").begin_object().field("model_type", model_type(input.config));
  out.field("file_bytes", result.input_file_bytes);
  out.field("content_hash", content_hash(*input.tensors)).end_object();
  out.key("output").begin_object().field("file_bytes", result.file_bytes);
  out.field("bits_per_weight", result.bits_per_weight);
  out.field("matrices_quantized", result.quantized).field("matrices_kept", result.kept);
  out.array("warnings", result.warnings).end_object().end_object();
  AtomicFile file(folder + "/nibble.json");
  file.write(out.finish());
  file.commit();
}

}  // namespace nibble
