#include "nibble/compress/convert.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/kept_codes.h"
#include "nibble/compress/model_output.h"
#include "nibble/compress/provenance.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/core/same_file.h"
#include "nibble/model/write_gguf.h"

namespace nibble {
namespace {

void require_float(const std::optional<DType>& to) {
  if (!to || *to == DType::f32 || *to == DType::f16 || *to == DType::bf16) return;
  throw invalid_argument(fmt::format("`to` {}: use f32, f16 or bf16", to_string(*to)));
}

class Conversion {
 public:
  Conversion(const Model& model, const OutputTarget& target, const ConvertOptions& options,
             const Exec& exec)
      : model_(model), options_(options), exec_(exec), target_(target) {}

  ConvertResult run() {
    for (const ParamSpec& p : parameter_table(model_.config)) add(p);
    if (target_.format.layout != nullptr && result_.packed == 0) throw nothing_held();
    require_format(model_, parameters_, target_.format);
    ModelOutput output(target_, options_.force);
    result_.path = target_.path;
    result_.warnings = model_.warnings;
    note_inputs();
    result_.input_file_bytes = model_.weights->file_bytes();
    result_.file_bytes = output.write(
        {model_, parameters_, check_},
        [this](int64_t) { return copy_provenance(model_, options_.command); }, result_.warnings,
        exec_);
    result_.lossless = result_.lossless && result_.changed.empty();
    return std::move(result_);
  }

 private:
  void add(const ParamSpec& spec) {
    const StoredAs stored = model_.weights->stored_as(spec.name);
    WritableParameter p{spec, std::nullopt, stored.dtype, nullptr};
    if (spec.is_matrix() && options_.to) {
      p.dtype = *options_.to;
    } else if (stored.scheme) {
      const Weight w = load_weight(model_, spec);
      model_.weights->release(spec.name);
      const auto kept = kept_codes(spec, w.quantized(), {&target_.format, 1});
      p.dtype = kept ? kept->scale_dtype : DType::f16;
      if (kept) p.scheme = kept->scheme;
      inputs_ = inputs_ ||
                stored.scheme->activations != (kept ? kept->scheme : QuantScheme()).activations;
    }
    if (spec.is_matrix()) ++(p.scheme ? result_.packed : result_.plain);
    p.make = [this, p] { return made(p); };
    parameters_.push_back(std::move(p));
  }

  Weight made(const WritableParameter& p) {
    exec_.check_stop();
    exec_.report({"convert", ++done_, std::ssize(parameters_), p.spec.name});
    Weight w = load_weight(model_, p.spec);
    model_.weights->release(p.spec.name);
    w = p.scheme ? with_kept_codes(std::move(w), *p.scheme) : as_plain(std::move(w), p);
    check_.note(p.spec.name, w, exec_.threads);
    return w;
  }

  Weight as_plain(Weight w, const WritableParameter& p) {
    const Tensor before = w.floats(exec_.threads);
    if (!w.is_quantized() && w.plain().dtype() == p.dtype) return w;
    Tensor after = naming_file(model_.path, [&] { return narrowed(before, p.dtype, p.spec.name); });
    const auto same = [](const Tensor& a, const Tensor& b) {
      const auto x = a.data<float>(), y = b.data<float>();
      return std::equal(x.begin(), x.end(), y.begin(), y.end());
    };
    if (!same(before, convert(after, DType::f32))) result_.changed.push_back(p.spec.name);
    return after;
  }

  // A layout was asked for by its name, and a folder of floats would come of it.
  Error nothing_held() const {
    const std::string holds =
        fmt::format("{} holds {}", target_.format.name, target_.format.layout->holds_what);
    return unsupported(is_quantized(model_)
                           ? fmt::format("no matrix can keep its codes: they are {}, and {}",
                                         scheme_summary(model_), holds)
                           : fmt::format("the model is not quantized, and {}: quantize it with "
                                         "`format` {}",
                                         holds, target_.format.name))
        .in_file(model_.path);
  }

  // A file that says nothing of how inputs are rounded computes something else.
  void note_inputs() {
    if (!inputs_) return;
    result_.lossless = false;
    result_.warnings.emplace_back(
        "the inputs of its matrices are rounded as well, which the output does not say: there they "
        "stay as they are");
  }

  const Model& model_;
  const ConvertOptions& options_;
  const Exec& exec_;
  const OutputTarget target_;
  bool inputs_ = false;
  int64_t done_ = 0;
  std::vector<WritableParameter> parameters_;
  ExportCheck check_;
  ConvertResult result_;
};

}  // namespace

ConvertResult convert_model(const std::string& in, const std::string& out,
                            const ConvertOptions& options, const Exec& exec) {
  require_float(options.to);
  const OutputTarget target = output_target(out, options.format);
  const std::string inputs[] = {in};
  refuse_same_file(target.path, inputs);
  const Model model = open_model(in);
  return Conversion(model, target, options, exec).run();
}

}  // namespace nibble
