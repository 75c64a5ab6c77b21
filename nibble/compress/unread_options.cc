#include "nibble/compress/unread_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

#include "nibble/compress/method_chain.h"
#include "nibble/quant/method.h"

namespace nibble {
namespace {

bool any_scheme(const QuantizeOptions& options,
                const std::function<bool(const QuantScheme&)>& holds) {
  return holds(options.scheme) || std::any_of(options.set.begin(), options.set.end(),
                                              [&](const SetRule& r) { return holds(r.scheme); });
}

// What a run looks at.
struct Reads {
  bool text = false;      // calibration samples
  bool random = false;    // numbers drawn from the seed
  bool walk = false;      // inputs that quantized parts make
  bool descent = false;   // gptq's tuning
  bool training = false;  // behind the method
  bool clip = false, half_step = false, scales = false;
  bool outliers = false;  // of inputs at run time
};

// Symmetric integers; and groups that do not divide a width, which become int8.
bool divides_by_half_steps(const QuantScheme& s) {
  const bool symmetric = s.is_integer() && !s.asymmetric;
  return symmetric || (!s.is_float() && s.granularity == Granularity::group);
}

Reads reads_of(const QuantizeOptions& options) {
  const MethodChain chain = parse_method_chain(options.method);
  Reads out;
  out.text = reads_text(options);
  out.random = out.text || std::count(chain.steps.begin(), chain.steps.end(), "rotate") > 0;
  out.outliers = chain.spare_outliers || any_scheme(options, [](const QuantScheme& s) {
                   return s.activations == ActivationType::a8_outlier;
                 });
  if (!any_scheme(options, [](const QuantScheme& s) { return !s.is_float(); })) return out;
  out.training = chain.trains;
  out.walk = method(chain.quantizer).needs != Calibration::nothing && !chain.spare_outliers &&
             options.importance_file.empty();
  out.descent = method(chain.quantizer).second_order;
  out.clip = chain.quantizer == "rtn";
  out.scales = true;
  out.half_step = chain.quantizer == "rtn" && !options.tuning.clip &&
                  any_scheme(options, divides_by_half_steps);
  return out;
}

struct Row {
  std::string_view option;
  bool Reads::*by;
};
constexpr Row kRows[] = {{"calibration_text", &Reads::text},
                         {"calibration_samples", &Reads::text},
                         {"calibration_length", &Reads::text},
                         {"seed", &Reads::random},
                         {"inputs", &Reads::walk},
                         {"damping", &Reads::descent},
                         {"sweeps", &Reads::descent},
                         {"act_order", &Reads::descent},
                         {"clip", &Reads::clip},
                         {"half_step_divisor", &Reads::half_step},
                         {"training_samples", &Reads::training},
                         {"training_epochs", &Reads::training},
                         {"training_batch", &Reads::training},
                         {"training_rate", &Reads::training},
                         {"training_scale_rate", &Reads::training},
                         {"scale_dtype", &Reads::scales},
                         {"outlier_threshold", &Reads::outliers}};

}  // namespace

bool reads_text(const QuantizeOptions& options) {
  const MethodChain chain = parse_method_chain(options.method);
  const bool calibrated = chain.trains || method(chain.quantizer).needs != Calibration::nothing;
  return (calibrated && options.importance_file.empty()) ||
         std::any_of(chain.steps.begin(), chain.steps.end(),
                     [](const std::string& s) { return s != "rotate"; }) ||
         any_scheme(options, [](const QuantScheme& s) {
           return s.activations == ActivationType::a8_static;
         });
}

std::string unread_options(const QuantizeOptions& options, std::span<const std::string> given) {
  const Reads reads = reads_of(options);
  std::vector<std::string> unread;
  for (const Row& row : kRows) {
    if (!(reads.*row.by) && std::find(given.begin(), given.end(), row.option) != given.end())
      unread.push_back(fmt::format("`{}`", row.option));
  }
  if (unread.empty()) return "";
  return fmt::format("{}: without effect, since method {}{} in scheme {} does not read {}",
                     fmt::join(unread, ", "), options.method,
                     options.importance_file.empty() ? "" : " with `importance_file`",
                     to_string(options.scheme), unread.size() == 1 ? "it" : "them");
}

}  // namespace nibble
