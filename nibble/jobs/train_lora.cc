#include "nibble/jobs/train_lora.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/hash.h"
#include "nibble/format/peft_modules.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/adapter_names.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/plain_model.h"
#include "nibble/quant/nearest_low_rank.h"

namespace nibble {
namespace {

std::vector<std::string> split_at(const std::string& text, char by) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(by, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

Error bad_lora(const std::string& what) { return invalid_argument("`lora`: " + what); }

template <class T>
T lora_number(const std::string& key, const std::string& text, T least, T most) {
  T value{};
  const char *begin = text.data(), *end = begin + text.size();
  const auto [last, error] = std::from_chars(begin, end, value);
  if (error == std::errc() && last == end && value >= least && value <= most) return value;
  throw bad_lora(fmt::format("{} is {}, expected a number from {} to {}", key,
                             text.empty() ? "missing" : in_quotes(text), least, most));
}

void take_word(const std::string& word, LoraChoice& out) {
  constexpr double kMostAlpha = 1e6, kMostDropout = 0.99;
  const size_t equals = std::min(word.find('='), word.size());
  const std::string key = word.substr(0, equals),
                    value = equals < word.size() ? word.substr(equals + 1) : "";
  out.shaped = out.shaped || key != "dropout";
  if (key == "r") {
    out.rank = lora_number<int64_t>(key, value, 1, kMostPeftRank);
  } else if (key == "alpha") {
    out.alpha = lora_number(key, value, 1e-6, kMostAlpha);
  } else if (key == "dropout") {
    out.dropout = lora_number(key, value, 0.0, kMostDropout);
  } else if (word == "rslora") {
    out.rank_stabilized = true;
  } else if (key == "targets" && !value.empty()) {
    out.targets = value == "all-linear" ? std::vector<std::string>() : split_at(value, '+');
  } else {
    throw bad_lora(fmt::format(
        "{} is none of r=8, alpha=16, targets=all-linear (or q_proj+v_proj), dropout=0.05, rslora",
        in_quotes(word)));
  }
}

// Matrices inside the layers that rows are multiplied with.
bool can_adapt(const ParamSpec& p) {
  return p.is_matrix() && !p.bias && p.layer >= 0 && p.role != Role::conv;
}

std::string end_of_path(const std::string& path) { return path.substr(path.rfind('.') + 1); }

class LoraPlanner {
 public:
  LoraPlanner(const TrainJob& job, const Model& model)
      : choice_(parse_lora(job.lora.options)),
        model_(model),
        names_(model.decoder_config(), false) {
    out_.options.dropout = choice_.dropout;
    out_.options.seed = job.seed;
    job.lora.adapter.empty() ? begin_new() : go_on(job.lora.adapter);
    out_.config.base = job.from;
    if (!job.lora.loftq.empty()) begin_with_the_loss(job.lora.loftq);
    describe();
  }

  LoraPlan take() {
    out_.config.dropout = choice_.dropout;
    return std::move(out_);
  }

 private:
  void begin_new() {
    PeftConfig& c = out_.config;
    c.rank = choice_.rank;
    c.alpha = choice_.alpha;
    c.rank_stabilized = choice_.rank_stabilized;
    c.targets.list = choice_.targets.empty() ? all_linear() : choice_.targets;
    require_each_target();
    PeftModules modules(c);
    for (const ParamSpec& p : names_.table()) {
      if (!can_adapt(p)) continue;
      const std::string name = names_.module_of(p);
      if (!modules.is_target(name)) continue;
      out_.options.modules.push_back({p, name, modules.rank(name), modules.scale(name)});
      c.fan_in_fan_out = c.fan_in_fan_out || p.transposed;
    }
  }

  // The ends of their paths, as PEFT writes them, or whole paths where an end means others as well.
  std::vector<std::string> all_linear() const {
    std::set<std::string> ends, others, paths;
    for (const ParamSpec& p : names_.table()) {
      if (!p.name.ends_with(".weight") || p.shape.rank() != 2) continue;
      const std::string path = names_.module_of(p);
      const bool linear = can_adapt(p) && p.expert < 0;
      (linear ? ends : others).insert(end_of_path(path));
      if (linear) paths.insert(path);
    }
    const bool plain = std::none_of(ends.begin(), ends.end(),
                                    [&](const std::string& end) { return others.contains(end); });
    const auto& list = plain ? ends : paths;
    return {list.begin(), list.end()};
  }

  void require_each_target() const {
    for (const std::string& target : out_.config.targets.list) {
      PeftConfig alone;
      alone.targets.list = {target};
      PeftModules modules(alone);
      const bool found =
          std::any_of(names_.table().begin(), names_.table().end(), [&](const ParamSpec& p) {
            return can_adapt(p) && modules.is_target(names_.module_of(p));
          });
      if (!found)
        throw bad_lora(fmt::format("no matrix inside the layers is called {} (all-linear is {})",
                                   in_quotes(target), fmt::join(all_linear(), "+")));
    }
  }

  void go_on(const std::string& path) {
    if (choice_.shaped)
      throw bad_lora("beside `adapter`, which has its rank, alpha and targets, only dropout=");
    const PeftAdapter adapter = read_peft_adapter(resolve_model(path));
    with_adapter(model_, adapter, path);  // it fits the model
    const auto refuse = [&](bool refused, const std::string& what) {
      if (refused)
        throw unsupported(
            fmt::format("changes {}, and A and B of matrices inside the layers are what is trained",
                        what))
            .in_file(path);
    };
    refuse(!adapter.replaced.empty(), "whole parameters");
    out_.config = adapter.config;
    for (const auto& [module, pair] : adapter.pairs) {
      const ParamSpec& p = *names_.find(module + ".weight");
      refuse(!can_adapt(p), in_quotes(module));
      LoraModule m{p, module, pair.a.shape()[0], pair.scale};
      m.a = convert(pair.a, DType::f32);
      m.b = convert(pair.b, DType::f32);
      out_.options.modules.push_back(std::move(m));
    }
  }

  void begin_with_the_loss(const std::string& path) {
    const Model floats = plain_model(open_model(resolve_model(path)));
    if (floats.decoder_config() != model_.decoder_config())
      throw invalid_argument(
          fmt::format("`loftq`: {} is not the model that the base was made of", in_quotes(path)));
    const AdapterNames theirs(floats.decoder_config(), false);
    for (LoraModule& m : out_.options.modules) {
      if (m.a.elements() > 0)
        throw invalid_argument("`loftq` is what an adapter begins with, and `adapter` has begun");
      const ParamSpec& p = *names_.find(m.name + ".weight");
      std::vector<float> lost = load_weight(floats, *theirs.find(m.name + ".weight")).values();
      const std::vector<float> kept = load_weight(model_, p).values();
      for (size_t i = 0; i < lost.size(); ++i)
        lost[i] = static_cast<float>((double{lost[i]} - double{kept[i]}) / m.scale);
      const int64_t n = p.shape[0], k = p.shape[1];
      LowRank start = nearest_low_rank(lost, n, k, std::min({m.rank, n, k}));
      if (start.rank() < m.rank)
        throw bad_lora(fmt::format("`loftq`: a rank of {} is more than {} of {} has", m.rank,
                                   in_quotes(m.name), p.shape.to_string()));
      m.a = std::move(start.a);
      m.b = std::move(start.b);
    }
  }

  void describe() {
    out_.described = fmt::format(", adapter with dropout {}", choice_.dropout);
    for (const LoraModule& m : out_.options.modules) {
      out_.described += fmt::format(", {} {} {}", m.name, m.rank, m.scale);
      for (const Tensor* t : {&m.a, &m.b}) {
        if (t->elements() == 0) continue;
        const auto* const bytes = reinterpret_cast<const char*>(t->raw());
        out_.described += ' ' + bytes_hash({bytes, t->bytes()});
      }
    }
  }

  const LoraChoice choice_;
  const Model& model_;
  const AdapterNames names_;
  LoraPlan out_;
};

}  // namespace

LoraChoice parse_lora(const std::string& text) {
  LoraChoice out;
  if (text.empty()) return out;
  for (const std::string& word : split_at(text, ',')) take_word(word, out);
  return out;
}

LoraPlan plan_lora(const TrainJob& job, const Model& model) {
  return LoraPlanner(job, model).take();
}

PeftAdapter trained_adapter(const LoraPlan& plan, const TrainResult& result) {
  PeftAdapter out{plan.config, {}, {}};
  for (const LoraModule& m : plan.options.modules)
    out.pairs.emplace(m.name, PeftPair{result.weights.at(m.name + ".lora_A"),
                                       result.weights.at(m.name + ".lora_B"), m.scale});
  return out;
}

}  // namespace nibble
