#include "nibble/model/adapted_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/peft_adapter.h"
#include "nibble/model/adapter_names.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/stored_weights.h"

namespace nibble {
namespace {

struct AdapterChanges {
  std::map<std::string, std::shared_ptr<const LowRank>, std::less<>> added;
  std::map<std::string, Tensor, std::less<>> replaced;
  std::map<std::string, std::string, std::less<>> copies;  // new name -> what it begins as
  int64_t bytes = 0;
};

class AdaptedWeights : public WeightSource {
 public:
  // `merges`: what is changed is given as floats.
  AdaptedWeights(std::shared_ptr<const WeightSource> base, AdapterChanges changes, bool merges,
                 int threads)
      : base_(std::move(base)), changes_(std::move(changes)), merges_(merges), threads_(threads) {}

  Weight get(std::string_view name) const override {
    const auto replaced = changes_.replaced.find(name);
    Weight w =
        replaced == changes_.replaced.end() ? base_->get(original(name)) : Weight(replaced->second);
    const auto added = changes_.added.find(name);
    if (added == changes_.added.end()) return w;
    w = Weight(w, added->second);
    return merges_ ? Weight(w.floats(threads_)) : w;
  }
  StoredAs stored_as(std::string_view name) const override {
    const auto replaced = changes_.replaced.find(name);
    if (replaced != changes_.replaced.end()) return {std::nullopt, replaced->second.dtype()};
    const StoredAs stored = base_->stored_as(original(name));
    const bool merged = merges_ && stored.scheme && changes_.added.contains(name);
    return merged ? StoredAs{std::nullopt, DType::f16} : stored;
  }
  void release(std::string_view name) const override { base_->release(original(name)); }
  int64_t file_bytes() const override { return base_->file_bytes() + changes_.bytes; }

 private:
  std::string_view original(std::string_view name) const {
    const auto copy = changes_.copies.find(name);
    return copy == changes_.copies.end() ? name : std::string_view(copy->second);
  }
  std::shared_ptr<const WeightSource> base_;
  AdapterChanges changes_;
  bool merges_;
  int threads_;
};

Error at_adapter_tensor(Error error, const std::string& name) {
  return std::move(error).at("tensor " + in_quotes(name));
}

void require_extent(const std::string& name, const Tensor& t, size_t axis, int64_t wanted,
                    std::string_view what) {
  if (t.shape()[axis] == wanted) return;
  throw at_adapter_tensor(corrupt(fmt::format("found {}, but the module has {} {} in this model",
                                              t.shape().to_string(), wanted, what)),
                          name);
}

Tensor scaled(const std::string& name, const Tensor& b, double factor) {
  Tensor out = b.dtype() == DType::f32 ? b.clone() : convert(b, DType::f32);
  for (float& v : out.mutable_data<float>())
    v = static_cast<float>(static_cast<double>(v) * factor);
  if (plainly_finite(out)) return out;
  throw at_adapter_tensor(
      unsupported(fmt::format("times {:g} it is beyond the range of f32", factor)), name);
}

bool same_values(const Tensor& x, const Tensor& y) {
  return x.dtype() == y.dtype() && x.shape() == y.shape() &&
         std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

bool is_end(const ParamSpec& spec) {
  return spec.role == Role::token_embedding || spec.role == Role::lm_head;
}

// The changes of all adapters, one after another.
class Adapting {
 public:
  Adapting(const DecoderConfig& config, bool apart) : names_(config, apart) {
    if (names_.apart()) changes_.copies.emplace(names_.head().name, names_.embedding().name);
  }

  void add(const PeftAdapter& adapter, double weight) {
    for (const auto& [module, pair] : adapter.pairs) add_pair(module, pair, weight);
    for (const auto& [name, of] : adapter.replaced) replace(adapter, name, of, weight);
  }

  AdapterChanges take() { return std::move(changes_); }

 private:
  void add_pair(const std::string& module, const PeftPair& pair, double weight) {
    const ParamSpec* spec = names_.find(module + ".weight");
    const std::string a = module + ".lora_A", b = module + ".lora_B";
    if (spec == nullptr || spec->shape.rank() != 2)
      throw at_adapter_tensor(corrupt(spec == nullptr ? "the model has no such module"
                                                      : "the module is no matrix in this model"),
                              a);
    require_extent(a, pair.a, 1, spec->shape[1], "inputs");
    require_extent(b, pair.b, 0, spec->shape[0], "outputs");
    LowRank change{pair.a.dtype() == DType::f32 ? pair.a : convert(pair.a, DType::f32),
                   scaled(b, pair.b, pair.scale * weight)};
    std::shared_ptr<const LowRank>& added = changes_.added[spec->name];
    added = std::make_shared<LowRank>(added == nullptr ? std::move(change) : sum(*added, change));
    changes_.bytes += static_cast<int64_t>(pair.a.bytes() + pair.b.bytes());
  }

  void replace(const PeftAdapter& adapter, const std::string& name, const PeftReplaced& of,
               double weight) {
    const ParamSpec* spec = names_.find(name);
    if (spec == nullptr) throw at_adapter_tensor(corrupt("the model has no such parameter"), name);
    const bool told = of.saved || is_end(*spec) || (spec->bias && adapter.config.bias != "none");
    if (!told)
      throw at_adapter_tensor(corrupt("a whole weight that modules_to_save does not name"), name);
    if (weight != 1)
      throw invalid_argument(
          fmt::format("it replaces whole parameters ({}), which is done or not, but not by {:g}: "
                      "give it the weight 1",
                      in_quotes(name), weight));
    if (of.tensor.shape() != stored_shape(*spec))
      throw at_adapter_tensor(
          corrupt(fmt::format("expected shape {} as the model has it, found {}",
                              stored_shape(*spec).to_string(), of.tensor.shape().to_string())),
          name);
    put(*spec, name, of.tensor);
    const bool both = names_.apart() && !of.saved && spec->role == Role::token_embedding;
    if (both && !adapter.replaced.contains(names_.head().name)) put(names_.head(), name, of.tensor);
  }

  // A tied head and the embedding may both be there.
  void put(const ParamSpec& spec, const std::string& name, const Tensor& stored) {
    const Tensor tensor = from_stored(spec, stored);
    const auto [at, fresh] = changes_.replaced.emplace(spec.name, tensor);
    if (fresh) changes_.bytes += static_cast<int64_t>(tensor.bytes());
    if (fresh || same_values(at->second, tensor)) return;
    throw at_adapter_tensor(corrupt("replaces what is replaced already, by something else"), name);
  }

  AdapterNames names_;
  AdapterChanges changes_;
};

// Whether one of the two ends of a tied model is changed and the other is not.
bool parts_ends(const DecoderConfig& config, const PeftAdapter& adapter) {
  if (!config.tied) return false;
  const AdapterNames names(config, true);
  const auto changed = [&](const std::string& name) {
    const ParamSpec* spec = names.find(name);
    return spec != nullptr && is_end(*spec);
  };
  const bool parts = std::any_of(adapter.pairs.begin(), adapter.pairs.end(),
                                 [&](const auto& p) { return changed(p.first + ".weight"); }) ||
                     std::any_of(adapter.replaced.begin(), adapter.replaced.end(),
                                 [&](const auto& r) { return r.second.saved && changed(r.first); });
  if (parts && adapter.config.ties_weights)
    throw unsupported(
        "the head of this model is its embedding, and a change of both at once is not read")
        .at("key \"ensure_weight_tying\"");
  return parts;
}

std::vector<std::string> names_of(const AdapterChanges& changes) {
  std::set<std::string> names;
  for (const auto& row : changes.added) names.insert(row.first);
  for (const auto& row : changes.replaced) names.insert(row.first);
  return {names.begin(), names.end()};
}

Model changed_model(const Model& model, const std::vector<AdapterChoice>& choices,
                    const std::vector<PeftAdapter>& adapters, bool merges, int threads,
                    std::vector<std::string>* changed) {
  if (choices.empty()) return model;
  Model out = model;
  DecoderConfig config = model.decoder_config();
  bool apart = false;
  for (size_t i = 0; i < choices.size(); ++i)
    naming_file(choices[i].path, [&] { apart = parts_ends(config, adapters[i]) || apart; });
  Adapting adapting(config, apart);
  for (size_t i = 0; i < choices.size(); ++i)
    naming_file(choices[i].path, [&] { adapting.add(adapters[i], choices[i].weight); });
  AdapterChanges changes = adapting.take();
  if (changed != nullptr) *changed = names_of(changes);
  config.tied = config.tied && !apart;
  out.config = config;
  out.weights =
      std::make_shared<AdaptedWeights>(model.weights, std::move(changes), merges, threads);
  out.as_stored = nullptr;
  return out;
}

std::vector<PeftAdapter> read_all(const std::vector<AdapterChoice>& choices) {
  std::vector<PeftAdapter> out;
  for (const AdapterChoice& c : choices) {
    if (!std::isfinite(c.weight))
      throw invalid_argument(fmt::format("the weight {} is no finite number", c.weight))
          .in_file(c.path);
    out.push_back(read_peft_adapter(resolve_model(c.path)));
  }
  return out;
}

}  // namespace

AdapterChoice parse_adapter(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || exists(text)) return {text};
  AdapterChoice out{text.substr(0, equals)};
  const char *begin = text.data() + equals + 1, *end = text.data() + text.size();
  const auto [last, error] = std::from_chars(begin, end, out.weight);
  if (error == std::errc() && last == end && std::isfinite(out.weight)) return out;
  throw invalid_argument(
      fmt::format("`adapter` {}: behind '=' stands the weight, a finite number", in_quotes(text)));
}

std::vector<AdapterChoice> parse_adapters(const std::vector<std::string>& texts) {
  std::vector<AdapterChoice> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(parse_adapter(text));
  return out;
}

Model with_adapters(const Model& model, const std::vector<AdapterChoice>& adapters,
                    std::vector<std::string>* changed) {
  return changed_model(model, adapters, read_all(adapters), false, 1, changed);
}

Model with_adapter(const Model& model, const PeftAdapter& adapter, const std::string& name) {
  return changed_model(model, {{name}}, {adapter}, false, 1, nullptr);
}

Model merged_model(const Model& model, const std::vector<AdapterChoice>& adapters, int threads) {
  return changed_model(model, adapters, read_all(adapters), true, threads, nullptr);
}

}  // namespace nibble
