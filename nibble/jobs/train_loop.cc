#include "nibble/jobs/train_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "nibble/core/json.h"
#include "nibble/jobs/train_log.h"

namespace nibble {
namespace {

class TrainingLoop {
 public:
  TrainingLoop(const TrainJob& job, Trainer& trainer, const TrainOptions& options,
               const std::vector<std::vector<int32_t>>& heldout, const Exec& exec)
      : job_(job), trainer_(trainer), options_(options), heldout_(heldout), exec_(exec) {
    if (!job.log.empty()) log_ = std::make_unique<TrainLog>(job.log, job.resume);
    every_ = job.eval_every > 0 ? job.eval_every : std::max<int64_t>(1, options.steps / 10);
  }

  bool run() {
    if (trainer_.step() == 0) look();
    while (trainer_.step() < options_.steps) {
      if (out_of_patience()) {
        trainer_.restore_best();
        return true;
      }
      const int64_t next = (trainer_.step() / every_ + 1) * every_;
      trainer_.run(
          exec_, [this](const TrainStep& s) { hear(s); }, next);
      look();
    }
    if (job_.patience > 0) trainer_.restore_best();
    return false;
  }

 private:
  using Clock = std::chrono::steady_clock;

  // At the held-out part, where there is one and somebody wants to know.
  void look() {
    const bool asked =
        !job_.from.empty() || job_.patience > 0 || job_.eval_every > 0 || !job_.qat.scheme.empty();
    if (heldout_.empty() || !asked) return;
    const auto& looks = trainer_.looks();
    if (!looks.empty() && looks.back().step == trainer_.step()) return;
    const HeldoutLook now = trainer_.look(heldout_, exec_, job_.patience > 0);
    if (log_) log_->add(now);
  }

  bool out_of_patience() const {
    std::vector<double> aims;
    for (const HeldoutLook& look : trainer_.looks())
      if (trainer_.counts(look)) aims.push_back(trainer_.aim(look));
    if (job_.patience == 0 || aims.empty()) return false;
    return aims.end() - std::min_element(aims.begin(), aims.end()) > job_.patience;
  }

  void hear(const TrainStep& s) {
    report_training(s, exec_);
    if (log_) log_->add(s);
    if (job_.out.empty()) return;  // nothing is written without -o
    const bool due = job_.checkpoint_every > 0 && s.step % job_.checkpoint_every == 0;
    const std::chrono::duration<double> since = Clock::now() - last_;
    if (s.step == s.steps || !(due || exec_.stopping() || since.count() > job_.checkpoint_seconds))
      return;
    trainer_.save_checkpoint(checkpoint_path(job_));
    last_ = Clock::now();
  }

  const TrainJob& job_;
  Trainer& trainer_;
  const TrainOptions& options_;
  const std::vector<std::vector<int32_t>>& heldout_;
  const Exec& exec_;
  std::unique_ptr<TrainLog> log_;
  int64_t every_ = 1;
  Clock::time_point last_ = Clock::now();
};

}  // namespace

void report_training(const TrainStep& s, const Exec& exec) {
  const double rate = s.seconds > 0 ? static_cast<double>(s.tokens) / s.seconds : 0;
  exec.report(
      {"train", s.step, s.steps, fmt::format("loss {:.4f}, {:.0f} tokens/s", s.loss, rate)});
}

std::string checkpoint_path(const TrainJob& job) { return job.out + ".resume"; }

bool run_training(const TrainJob& job, Trainer& trainer, const TrainOptions& options,
                  const std::vector<std::vector<int32_t>>& heldout, const Exec& exec) {
  return TrainingLoop(job, trainer, options, heldout, exec).run();
}

}  // namespace nibble
