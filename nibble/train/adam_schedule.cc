#include "nibble/train/adam_schedule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numbers>
#include <string>

#include "nibble/core/error.h"

namespace nibble {
namespace {

double learning_rate(const AdamOptions& a, int64_t step, int64_t steps) {
  const auto warmup = static_cast<double>(a.warmup_steps), at = static_cast<double>(step);
  if (step < a.warmup_steps) return a.learning_rate * (at + 1) / warmup;
  const double done = (at - warmup) / (static_cast<double>(steps) - warmup);
  if (a.schedule == Schedule::constant) return a.learning_rate;
  const double fallen =
      a.schedule == Schedule::cosine ? (1 - std::cos(std::numbers::pi * done)) / 2 : done;
  return a.learning_rate * (1 - (1 - a.final_fraction) * fallen);
}

constexpr std::pair<std::string_view, Schedule> kSchedules[] = {
    {"linear", Schedule::linear}, {"cosine", Schedule::cosine}, {"constant", Schedule::constant}};

}  // namespace

Schedule parse_schedule(std::string_view name) {
  for (const auto& [known, schedule] : kSchedules)
    if (known == name) return schedule;
  throw invalid_argument(fmt::format("{} is not a schedule; there are {}", in_quotes(name),
                                     fmt::join(schedule_names(), ", ")));
}

std::string_view to_string(Schedule schedule) {
  for (const auto& [name, known] : kSchedules)
    if (known == schedule) return name;
  return "";
}

std::vector<std::string_view> schedule_names() {
  std::vector<std::string_view> out;
  for (const auto& [name, schedule] : kSchedules) out.push_back(name);
  return out;
}

void validate(const AdamOptions& a, int64_t steps) {
  const auto require = [](bool condition, const char* what) {
    if (!condition) throw invalid_argument(what);
  };
  require(a.learning_rate > 0 && a.learning_rate < 1e3, "the learning rate must be positive");
  require(a.beta1 >= 0 && a.beta1 < 1 && a.beta2 >= 0 && a.beta2 < 1,
          "Adam's betas must be at least 0 and below 1");
  require(a.eps > 0 && a.eps < 1, "Adam's eps must be between 0 and 1");
  require(a.weight_decay >= 0 && a.weight_decay <= 100, "weight decay must be 0 to 100");
  require(a.final_fraction >= 0 && a.final_fraction <= 1, "final_fraction must be 0 to 1");
  require(a.clip_norm >= 0 && std::isfinite(a.clip_norm), "clip_norm must not be negative");
  require(a.warmup_steps >= 0, "the warm-up must be 0 steps or more");
  if (a.warmup_steps >= steps)
    throw invalid_argument(fmt::format("the warm-up takes {} steps, so a run needs more (got {})",
                                       a.warmup_steps, steps));
}

TrainAdam<float> adam_of_step(const AdamOptions& a, int64_t step, int64_t steps) {
  const double rate = learning_rate(a, step, steps), t = static_cast<double>(step + 1);
  return {static_cast<float>(rate),
          static_cast<float>(a.beta1),
          static_cast<float>(a.beta2),
          static_cast<float>(a.eps),
          static_cast<float>(1 / (1 - std::pow(a.beta1, t))),
          static_cast<float>(1 / (1 - std::pow(a.beta2, t))),
          static_cast<float>(rate * a.weight_decay),
          1.0f};
}

}  // namespace nibble
