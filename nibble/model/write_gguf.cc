#include "nibble/model/write_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numbers>

#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/gguf_write.h"
#include "nibble/format/paired_rows.h"
#include "nibble/model/architecture.h"
#include "nibble/model/gguf_names.h"
#include "nibble/text/gguf_vocabulary.h"

namespace nibble {
namespace {

const GgufArchitecture& require_architecture(const Model& model) {
  const GgufArchitecture* of = architecture(model.decoder_config().architecture).in_gguf;
  if (of != nullptr) return *of;
  throw unsupported(fmt::format("nibble writes no GGUF files of {}",
                                in_quotes(model.decoder_config().architecture)))
      .in_file(model.path);
}

// Vectors, and what is looked up by position, stay exact; so does what decides where rows go.
bool is_always_f32(const ParamSpec& spec) {
  return spec.shape.rank() != 2 || spec.role == Role::position_embedding ||
         spec.role == Role::router;
}

const GgufType& stored_type(const WritableParameter& p) {
  const auto at = [&](Error e) { return std::move(e).at("tensor " + in_quotes(p.spec.name)); };
  if (is_always_f32(p.spec) && !p.scheme) return *gguf_type_of(DType::f32);
  if (!p.scheme) {
    const GgufType* type = gguf_type_of(p.dtype);
    if (type != nullptr) return *type;
    throw at(unsupported(fmt::format("GGUF holds no {}", to_string(p.dtype))));
  }
  const GgufType* type = gguf_type_of(*p.scheme);
  try {
    if (type == nullptr) require_gguf_type(*p.scheme);
  } catch (Error& e) {
    throw at(std::move(e));
  }
  if (p.spec.shape[1] % type->elements == 0) return *type;
  throw at(
      unsupported(fmt::format("{} inputs are no whole blocks of {} ({}): keep it as f16 or "
                              "set another scheme",
                              p.spec.shape[1], type->elements, type->name)));
}

// Rows of `bytes` in the order of the file.
std::vector<std::byte> in_file_order(std::span<const std::byte> bytes, const GgufRows& rows) {
  std::vector<std::byte> out(bytes.size());
  const size_t row = bytes.size() / static_cast<size_t>(rows.count);
  for (int64_t p = 0; p < rows.count; ++p) {
    const int64_t from = rows.paired_head > 0 ? half_row(p, rows.paired_head) : p;
    std::memcpy(out.data() + static_cast<size_t>(p) * row,
                bytes.data() + static_cast<size_t>(from) * row, row);
  }
  return out;
}

void write_parameter(const WritableParameter& p, const GgufType& type, const GgufRows& rows,
                     const GgufWriter::Piece& piece) {
  const Weight w = p.make();
  std::vector<std::byte> bytes;
  if (w.is_quantized()) {
    bytes = gguf_rows(w.quantized(), type);
  } else {
    const Tensor t = w.plain().dtype() == *type.plain ? w.plain() : convert(w.plain(), *type.plain);
    bytes.assign(t.raw(), t.raw() + t.bytes());
  }
  piece(rows.paired_head > 0 ? in_file_order(bytes, rows) : bytes);
}

// Parameters that are one tensor in the file, experts in order.
using Stack = std::vector<const WritableParameter*>;

void add_tensors(const Model& model, const std::vector<WritableParameter>& parameters,
                 GgufWriter& out) {
  const GgufArchitecture& of = require_architecture(model);
  const int64_t head_dim = model.decoder_config().head_dim;
  std::vector<std::string> order;
  std::map<std::string, Stack> stacks;
  for (const WritableParameter& p : parameters) {
    const std::string name = gguf_name(p.spec);
    if (!stacks.contains(name)) order.push_back(name);
    stacks[name].push_back(&p);
  }
  for (const std::string& name : order) {
    const Stack& stack = stacks[name];
    const ParamSpec& spec = stack[0]->spec;
    const GgufType& type = stored_type(*stack[0]);
    const Shape shape =
        spec.expert < 0 ? spec.shape : Shape{std::ssize(stack), spec.shape[0], spec.shape[1]};
    out.add_tensor(name, type, shape, [stack, &type, &of, head_dim](const auto& piece) {
      for (const WritableParameter* p : stack)
        write_parameter(*p, type, gguf_rows(p->spec, of, head_dim), piece);
    });
  }
}

// --- metadata ---

// general.file_type (llama.h, enum llama_ftype): by the mixture's name, or by the type that most
// weights have.
struct FileTypeRow {
  std::string_view type;
  int64_t id;
};
constexpr FileTypeRow kFileTypes[] = {
    {"F32", 0},     {"F16", 1},     {"Q4_0", 2},    {"Q4_1", 3},    {"Q8_0", 7},    {"Q5_0", 8},
    {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K", 11},   {"Q4_K", 14},   {"Q5_K", 16},   {"Q6_K", 18},
    {"Q3_K_M", 12}, {"Q3_K_L", 13}, {"Q4_K_M", 15}, {"Q5_K_M", 17}, {"Q3_K_S", 11}, {"Q4_K_S", 14},
    {"Q5_K_S", 16}, {"IQ4_NL", 25}, {"IQ4_XS", 30}, {"BF16", 32},   {"MXFP4", 38},  {"NVFP4", 39}};

const FileTypeRow* find_file_type(std::string_view name) {
  for (const FileTypeRow& r : kFileTypes) {
    if (r.type == name) return &r;
  }
  return nullptr;
}

int64_t file_type(const std::vector<WritableParameter>& parameters, std::string_view mixture) {
  if (const FileTypeRow* named = find_file_type(mixture)) return named->id;
  std::map<std::string_view, int64_t> weights;
  for (const WritableParameter& p : parameters) {
    if (p.spec.is_matrix() && p.spec.layer >= 0)
      weights[stored_type(p).name] += p.spec.shape.elements();
  }
  const auto most =
      std::max_element(weights.begin(), weights.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const FileTypeRow* found = most == weights.end() ? nullptr : find_file_type(most->first);
  return found == nullptr ? 0 : found->id;
}

// The last part of the path that is not empty: "models/tiny/" is "tiny".
std::string name_at_end(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return split_path(path).name;
}

void add_general(const Model& model, const std::vector<WritableParameter>& parameters,
                 const GgufProvenance& provenance, GgufWriter& out) {
  out.add("general.architecture", require_architecture(model).name);
  out.add("general.type", std::string_view("model"));
  out.add("general.name", name_at_end(model.path));
  out.add_u32("general.file_type", file_type(parameters, provenance.type));
  const bool quantized =
      std::any_of(parameters.begin(), parameters.end(),
                  [](const WritableParameter& p) { return p.scheme.has_value(); });
  if (quantized) out.add_u32("general.quantization_version", 2);
  if (!provenance.made_by.empty()) out.add("general.quantized_by", provenance.made_by);
  if (!provenance.provenance.empty()) out.add("nibble.provenance", provenance.provenance);
}

void add_rope(const DecoderConfig& c, std::string_view prefix, GgufWriter& out) {
  if (c.position != PositionKind::rotary) return;
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", prefix, name); };
  out.add_u32(key("rope.dimension_count"), c.head_dim);
  out.add_u32(key("attention.value_length"), c.head_dim);
  out.add_f32(key("rope.freq_base"), c.rope.theta);
  const bool linear = c.rope.scaling == RopeScaling::linear,
             yarn = c.rope.scaling == RopeScaling::yarn;
  if (!linear && !yarn) return;
  out.add(key("rope.scaling.type"), std::string_view(linear ? "linear" : "yarn"));
  out.add_f32(key("rope.scaling.factor"), c.rope.factor);
  if (c.rope.original_context > 0)
    out.add_u32(key("rope.scaling.original_context_length"), c.rope.original_context);
}

// GGUF says nothing of how Llama 3 stretches its context but what each frequency is divided by.
void add_llama3(const DecoderConfig& c, GgufWriter& out) {
  if (c.rope.scaling != RopeScaling::llama3) return;
  RopeConfig plain;
  plain.theta = c.rope.theta;
  const Rotary with(c.rope, c.head_dim), without(plain, c.head_dim);
  std::vector<float> divisors;
  for (size_t i = 0; i < with.frequencies().size(); ++i)
    divisors.push_back(without.frequencies()[i] / with.frequencies()[i]);
  out.add_tensor("rope_freqs.weight", *gguf_type_of(DType::f32), Shape{std::ssize(divisors)},
                 [divisors](const auto& piece) { piece(std::as_bytes(std::span(divisors))); });
}

int64_t windows(const DecoderConfig& c) {
  return std::count(c.layer_kinds.begin(), c.layer_kinds.end(), LayerKind::window);
}

// yarn with numbers of its own, which the keys above do not say.
void refuse_unsaid(const DecoderConfig& c) {
  const RopeConfig usual;
  const RopeConfig& r = c.rope;
  const bool own =
      r.scaling == RopeScaling::yarn &&
      (r.beta_fast != usual.beta_fast || r.beta_slow != usual.beta_slow ||
       r.attention_factor != 0 || r.mscale != 0 || r.mscale_all_dim != 0 || !r.truncate);
  if (own) throw unsupported("GGUF files of nibble hold yarn with its usual numbers only");
  const GgufArchitecture& of = *architecture(c.architecture).in_gguf;
  if (of.says == nullptr ? windows(c) == 0 : of.says(c)) return;
  throw unsupported(
      "GGUF cannot say which of its layers see a window, or by what it multiplies "
      "scores");
}

// Llama's name in GGUF knows no window in llama.cpp, whose converter leaves it out as well.
void warn_of_windows(const DecoderConfig& c, std::vector<std::string>& warnings) {
  const GgufArchitecture& of = *architecture(c.architecture).in_gguf;
  if (windows(c) == 0 || !of.paired_heads) return;
  warnings.push_back(
      fmt::format("llama.cpp does not read `{}.attention.sliding_window`: beyond {} "
                  "tokens it computes something else",
                  of.name, c.sliding_window));
}

void add_config(const DecoderConfig& c, GgufWriter& out) {
  const Architecture& of = architecture(c.architecture);
  JsonWriter json;
  json.begin_object();
  of.write_config(c, json);
  const JsonFields fields = JsonFields::parse(json.end_object().finish());
  for (const GgufKey& key : of.in_gguf->keys) {
    if (!fields.contains(key.config) || fields.is_null(key.config)) continue;
    if (key.config == "sliding_window" && windows(c) == 0) continue;
    const std::string name = fmt::format("{}.{}", of.in_gguf->name, key.key);
    if (key.key.ends_with("epsilon"))
      out.add_f32(name, fields.number(key.config));
    else
      out.add_u32(name, fields.integer(key.config));
  }
  out.add_u32(fmt::format("{}.vocab_size", of.in_gguf->name), c.vocab_size);
  add_rope(c, of.in_gguf->name, out);
  if (of.in_gguf->write_more != nullptr) of.in_gguf->write_more(c, out);
}

constexpr std::string_view kOf = "tokenizer.ggml.";

void add_id(std::string_view name, const std::optional<int64_t>& id, GgufWriter& out) {
  if (id) out.add_u32(fmt::format("{}{}", kOf, name), *id);
}
void add_flag(std::string_view name, const std::optional<bool>& flag, GgufWriter& out) {
  if (flag) out.add(fmt::format("{}{}", kOf, name), *flag);
}

void add_vocabulary(const GgufVocabulary& v, GgufWriter& out) {
  const auto key = [](std::string_view name) { return fmt::format("{}{}", kOf, name); };
  out.add(key("model"), std::string_view(v.model));
  if (!v.pre.empty()) out.add(key("pre"), std::string_view(v.pre));
  out.add(key("tokens"), std::span<const std::string>(v.tokens));
  out.add(key("token_type"), std::span<const int32_t>(v.token_types));
  if (!v.scores.empty()) out.add(key("scores"), std::span<const float>(v.scores));
  if (!v.merges.empty()) out.add(key("merges"), std::span<const std::string>(v.merges));
  add_id("bos_token_id", v.bos, out);
  add_id("eos_token_id", v.eos, out);
  add_id("eot_token_id", v.eot, out);
  add_id("eom_token_id", v.eom, out);
  add_id("unknown_token_id", v.unknown, out);
  add_id("padding_token_id", v.padding, out);
  add_id("mask_token_id", v.mask, out);
  add_flag("add_bos_token", v.add_bos, out);
  add_flag("add_eos_token", v.add_eos, out);
  add_flag("add_space_prefix", v.add_space_prefix, out);
  add_flag("remove_extra_whitespaces", v.remove_extra_whitespaces, out);
}

// As llama.cpp's own converter writes them: the default one, and others by their names.
void add_templates(const std::vector<NamedTemplate>& templates, GgufWriter& out) {
  std::vector<std::string> names;
  for (const NamedTemplate& t : templates) {
    const bool is_default = t.name == "default";
    if (!is_default) names.push_back(t.name);
    out.add(is_default ? "tokenizer.chat_template" : "tokenizer.chat_template." + t.name,
            std::string_view(t.source));
  }
  if (!names.empty()) out.add("tokenizer.chat_templates", std::span<const std::string>(names));
}

// A model without a tokenizer, or with one that GGUF cannot say, is written all the same: it runs
// on ids.
void add_companions(const Model& model, GgufWriter& out, std::vector<std::string>& warnings) {
  if (model.companions == nullptr) return;
  try {
    add_vocabulary(gguf_vocabulary(*model.companions->tokenizer(),
                                   model.decoder_config().vocab_size, warnings),
                   out);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::not_found && e.kind() != ErrorKind::unsupported) throw;
    warnings.push_back(fmt::format("the file has no tokenizer: {}", e.what()));
    out.add("tokenizer.ggml.model", std::string_view("none"));
  }
  add_templates(model.companions->chat_templates(), out);
}

}  // namespace

bool is_gguf_name(const std::string& path) { return path.ends_with(".gguf"); }

void require_gguf(const Model& original, const std::vector<WritableParameter>& parameters) {
  require_architecture(original);
  naming_file(original.path, [&] {
    refuse_unsaid(original.decoder_config());
    for (const WritableParameter& p : parameters) stored_type(p);
  });
}

namespace {

GgufWriter gguf_of(const Model& original, const std::vector<WritableParameter>& parameters,
                   const GgufProvenance& provenance, std::vector<std::string>& warnings) {
  require_gguf(original, parameters);
  GgufWriter out;
  add_general(original, parameters, provenance, out);
  add_config(original.decoder_config(), out);
  add_companions(original, out, warnings);
  warn_of_windows(original.decoder_config(), warnings);
  add_llama3(original.decoder_config(), out);
  add_tensors(original, parameters, out);
  return out;
}

}  // namespace

int64_t planned_gguf_bytes(const Model& original,
                           const std::vector<WritableParameter>& parameters) {
  std::vector<std::string> said;
  return gguf_of(original, parameters, {}, said).bytes();
}

int64_t write_gguf(const Model& original, const std::string& path,
                   const std::vector<WritableParameter>& parameters,
                   const GgufProvenance& provenance, std::vector<std::string>& warnings,
                   const std::function<void(const Model& written)>& check) {
  const GgufWriter file = gguf_of(original, parameters, provenance, warnings);
  if (!check) return file.write(path);
  return file.write(path, [&](const std::string& written) { check(open_model(written)); });
}

}  // namespace nibble
