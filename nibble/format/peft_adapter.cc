#include "nibble/format/peft_adapter.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/core/transpose.h"
#include "nibble/format/peft_modules.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/format/safetensors.h"

namespace nibble {
namespace {

constexpr std::string_view kPeftConfig = "adapter_config.json";
constexpr std::string_view kPeftTensors = "adapter_model.safetensors";
constexpr std::string_view kPeftPrefix = "base_model.model.", kBaseLayer = ".base_layer.";
constexpr int64_t kMostPeftConfig = 1 << 20;

// The ends of the names of a pair.
struct PairEnds {
  std::string_view a, b;
  bool embedding;
};
constexpr std::array<PairEnds, 2> kPairEnds = {{
    {".lora_A.weight", ".lora_B.weight", false},
    {".lora_embedding_A", ".lora_embedding_B", true},
}};

Error at_peft_tensor(Error error, std::string_view name) {
  return std::move(error).at("tensor " + in_quotes(name));
}

struct PeftFiles {
  std::string config, tensors;
};

PeftFiles peft_files(const std::string& path) {
  if (!exists(path)) throw not_found("no such file or folder").in_file(path);
  const std::string folder = is_folder(path) ? path : split_path(path).folder;
  PeftFiles out{folder + '/' + std::string(kPeftConfig), folder + '/' + std::string(kPeftTensors)};
  if (!is_folder(path)) out.tensors = path;
  if (!exists(out.config))
    throw not_found(fmt::format("no {} there, so it is no adapter of PEFT's", kPeftConfig))
        .in_file(folder);
  if (exists(out.tensors)) return out;
  if (exists(folder + "/adapter_model.bin"))
    throw unsupported(fmt::format("holds pickled weights, which could run code: save the adapter "
                                  "as {} (save_pretrained with safe_serialization=True)",
                                  kPeftTensors))
        .in_file(folder + "/adapter_model.bin");
  throw not_found(fmt::format("no {} there", kPeftTensors)).in_file(folder);
}

class PeftReader {
 public:
  PeftReader(const TensorSource& tensors, PeftAdapter& out)
      : tensors_(tensors), out_(out), modules_(out.config) {}

  void read() {
    for (const TensorInfo& info : tensors_.list()) add(info.name);
    for (const std::string& saved : out_.config.saved) require_saved(saved);
    if (out_.pairs.empty() && out_.replaced.empty()) throw corrupt("holds no tensor");
  }

 private:
  void add(const std::string& name) {
    if (!name.starts_with(kPeftPrefix))
      throw at_peft_tensor(
          corrupt(fmt::format("expected a name that begins with {}", in_quotes(kPeftPrefix))),
          name);
    const std::string_view rest = std::string_view(name).substr(kPeftPrefix.size());
    for (const PairEnds& ends : kPairEnds) {
      if (rest.ends_with(ends.a))
        return add_pair(std::string(rest.substr(0, rest.size() - ends.a.size())), ends);
      if (rest.ends_with(ends.b)) {
        const std::string module(rest.substr(0, rest.size() - ends.b.size()));
        return require_part(full_name(module, ends.a), name);
      }
    }
    add_replaced(name, rest);
  }

  static std::string full_name(const std::string& module, std::string_view end) {
    return std::string(kPeftPrefix) + module + std::string(end);
  }

  void require_part(const std::string& name, const std::string& other) {
    if (tensors_.contains(name)) return;
    throw at_peft_tensor(
        corrupt(fmt::format("missing: the file has only the other half, {}", in_quotes(other))),
        name);
  }

  void add_pair(const std::string& module, const PairEnds& ends) {
    const std::string a = full_name(module, ends.a), b = full_name(module, ends.b);
    require_part(b, a);
    if (!modules_.is_target(module))
      throw at_peft_tensor(
          corrupt(fmt::format("{} says nothing of this module: target_modules does not name it",
                              kPeftConfig)),
          a);
    PeftPair pair{matrix(a), matrix(b), modules_.scale(module), ends.embedding};
    const int64_t rank = modules_.rank(module);
    require_rank(a, pair.a, 0, rank);
    require_rank(b, pair.b, 1, rank);
    if (ends.embedding) {
      Tensor table = transpose(pair.a);
      pair.a = transpose(pair.b);
      pair.b = std::move(table);
    }
    if (!out_.pairs.emplace(module, std::move(pair)).second)
      throw at_peft_tensor(corrupt("a second pair for one module"), a);
  }

  static void require_rank(const std::string& name, const Tensor& t, size_t axis, int64_t rank) {
    if (t.shape()[axis] == rank) return;
    throw at_peft_tensor(
        corrupt(fmt::format("expected {} {} (the rank that {} says), found {}", rank,
                            axis == 0 ? "rows" : "columns", kPeftConfig, t.shape().to_string())),
        name);
  }

  Tensor matrix(const std::string& name) const {
    Tensor t = floats(name);
    if (t.shape().rank() == 2 && t.elements() > 0) return t;
    throw at_peft_tensor(corrupt(fmt::format("expected a matrix, found {}", t.shape().to_string())),
                         name);
  }

  Tensor floats(const std::string& name) const {
    Tensor t = tensors_.get(name);
    const DType type = t.dtype();
    if (type != DType::f32 && type != DType::f16 && type != DType::bf16)
      throw at_peft_tensor(
          unsupported(fmt::format("expected f32, f16 or bf16, found {}", to_string(type))), name);
    refuse_nonfinite(t, name);
    return t;
  }

  // Whole parameters; of a module that is changed as well, PEFT calls its own weight base_layer's.
  void add_replaced(const std::string& name, std::string_view rest) {
    if (rest.find(".lora_") != std::string_view::npos)
      throw at_peft_tensor(
          unsupported(
              "a part of an adapter that nibble does not know (it reads lora_A and lora_B)"),
          name);
    std::string parameter(rest);
    if (const size_t at = parameter.find(kBaseLayer); at != std::string::npos)
      parameter.replace(at, kBaseLayer.size(), ".");
    const bool saved = modules_.is_saved(module_of(parameter));
    if (!out_.replaced.emplace(parameter, PeftReplaced{floats(name), saved}).second)
      throw at_peft_tensor(corrupt("a second tensor for one parameter"), name);
  }

  void require_saved(const std::string& saved) {
    PeftConfig alone;
    alone.saved = {saved};
    const PeftModules module(alone);
    for (const auto& [name, of] : out_.replaced) {
      if (module.is_saved(module_of(name))) return;
    }
    throw corrupt(
        fmt::format("modules_to_save names {}, and no tensor belongs to it", in_quotes(saved)));
  }

  const TensorSource& tensors_;
  PeftAdapter& out_;
  PeftModules modules_;
};

// A whole parameter, with the word that PEFT has for the base's own where its module has A and B.
std::string written_name(const PeftAdapter& adapter, const std::string& name) {
  const size_t end = name.rfind('.');
  if (end == std::string::npos || !adapter.pairs.contains(name.substr(0, end))) return name;
  return name.substr(0, end) + std::string(kBaseLayer) + name.substr(end + 1);
}

}  // namespace

PeftAdapter read_peft_adapter(const std::string& path) {
  const PeftFiles files = peft_files(path);
  PeftAdapter out;
  naming_file(files.config, [&] {
    out.config = read_peft_config(JsonFields::parse(read_file(files.config, kMostPeftConfig)));
  });
  naming_file(files.tensors, [&] {
    const auto tensors = open_safetensors(files.tensors);
    PeftReader(*tensors, out).read();
  });
  return out;
}

void write_peft_adapter(const std::string& folder, const PeftAdapter& adapter) {
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& module, std::string_view end, const Tensor& t) {
    tensors.push_back({std::string(kPeftPrefix) + module + std::string(end), t});
  };
  for (const auto& [module, pair] : adapter.pairs) {
    const PairEnds& ends = kPairEnds[pair.embedding ? 1 : 0];
    add(module, ends.a, pair.embedding ? transpose(pair.b) : pair.a);
    add(module, ends.b, pair.embedding ? transpose(pair.a) : pair.b);
  }
  for (const auto& [name, of] : adapter.replaced) add(written_name(adapter, name), "", of.tensor);
  write_safetensors(folder + '/' + std::string(kPeftTensors), tensors);
  AtomicFile config(folder + '/' + std::string(kPeftConfig));
  config.write(peft_config_text(adapter.config));
  config.commit();
}

}  // namespace nibble
