#include "nibble/train/step_runner.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/team.h"

namespace nibble {
namespace {

// The unit in which the flat array is shared out; sums of squares are taken per block.
constexpr int64_t kBlock = 1024;

}  // namespace

StepRunner::StepRunner(const FlatLayout& layout, const TrainOps<float>& ops, StepHooks hooks)
    : weights(layout.size),
      first(layout.size),
      second(layout.size),
      layout_(layout),
      ops_(ops),
      hooks_(std::move(hooks)),
      block_squares_(static_cast<size_t>((layout.size + kBlock - 1) / kBlock)) {}

void StepRunner::reserve(size_t chunks) {
  while (gradients_.size() < chunks) gradients_.emplace_back(layout_.size);
}

void StepRunner::reduce(size_t chunks, int64_t begin, int64_t end) {
  float* sum = gradients_[0].data();
  for (size_t c = 1; c < chunks; ++c) {
    ops_.add(end - begin, gradients_[c].data() + begin, sum + begin);
  }
}

// Where the gradient is by something else than the trained numbers.
void StepRunner::pull_back(Team& team) {
  if (!hooks_.pull_back) return;
  team.sync();
  hooks_.pull_back(gradients_[0].data(), team.rank(), team.size());
  team.sync();
}

// f(from, to) of what stays in [begin, end).
template <class F>
void StepRunner::for_each_frozen(int64_t begin, int64_t end, F f) const {
  for (const auto& [first, last] : layout_.frozen) {
    const int64_t from = std::max(first, begin), to = std::min(last, end);
    if (from < to) f(from, to);
  }
}

// What stays has no part in the norm of the gradient.
void StepRunner::freeze(int64_t begin, int64_t end) {
  for_each_frozen(begin, end, [&](int64_t from, int64_t to) {
    std::fill(gradients_[0].data() + from, gradients_[0].data() + to, 0.0f);
  });
}

void StepRunner::adam_range(TrainAdam<float> adam, int64_t begin, int64_t end) {
  const auto part = [&](int64_t from, int64_t to) {
    from = std::max(from, begin), to = std::min(to, end);
    if (from >= to) return;
    ops_.adam(adam, to - from, gradients_[0].data() + from, first.data() + from,
              second.data() + from, weights.data() + from);
  };
  part(0, layout_.matrices_end);
  adam.decay = 0;
  part(layout_.matrices_end, layout_.scales_begin);
  adam.learning_rate *= layout_.scale_rate;
  part(layout_.scales_begin, layout_.size);
}

// Without a gradient Adam moves nothing, but its decay does: what stays is put back.
void StepRunner::learn(const TrainAdam<float>& adam, int64_t begin, int64_t end) {
  std::vector<std::vector<float>> kept;
  for_each_frozen(begin, end, [&](int64_t from, int64_t to) {
    kept.emplace_back(weights.data() + from, weights.data() + to);
  });
  adam_range(adam, begin, end);
  size_t next = 0;
  for_each_frozen(begin, end, [&](int64_t from, int64_t) {
    std::copy(kept[next].begin(), kept[next].end(), weights.data() + from);
    ++next;
  });
}

double StepRunner::block_square(int64_t block) const {
  double sum = 0;
  const int64_t end = std::min((block + 1) * kBlock, layout_.size);
  for (int64_t i = block * kBlock; i < end; ++i) {
    sum += double{gradients_[0][i]} * double{gradients_[0][i]};
  }
  return sum;
}

double StepRunner::clip_scale(double clip_norm) const {
  double sum = 0;
  for (double s : block_squares_) sum += s;
  const double norm = std::sqrt(sum);
  return norm > clip_norm ? clip_norm / norm : 1.0;
}

// Every chunk of this thread's; an error waits until the threads have met again.
void StepRunner::run_chunks(const Team& team, const std::function<void(size_t, size_t)>& f) {
  const auto worker = static_cast<size_t>(team.rank()), workers = static_cast<size_t>(team.size());
  for (size_t c = worker; c < chunk_failure_.size(); c += workers) {
    try {
      f(worker, c);
    } catch (...) {
      chunk_failure_[c] = std::current_exception();
    }
  }
}

void StepRunner::rethrow() const {
  for (const std::exception_ptr& failure : chunk_failure_)
    if (failure) std::rethrow_exception(failure);
}

void StepRunner::evaluate(size_t chunks, int threads,
                          const std::function<void(size_t, size_t)>& f) {
  chunk_failure_.assign(chunks, nullptr);
  run_team(threads, [&](Team& team) {
    hooks_.prepare(team.rank(), team.size());
    team.sync();
    run_chunks(team, f);
  });
  rethrow();
}

bool StepRunner::failed() const {
  return std::any_of(chunk_failure_.begin(), chunk_failure_.end(),
                     [](const std::exception_ptr& f) { return f != nullptr; });
}

double StepRunner::step(size_t chunks, const ChunkGradient& chunk_gradient, TrainAdam<float> adam,
                        double clip_norm, int threads) {
  reserve(chunks);
  chunk_loss_.assign(chunks, 0);
  chunk_failure_.assign(chunks, nullptr);
  const auto blocks = static_cast<int64_t>(block_squares_.size());
  // Buffers are ready; of all this only a chunk's products may fail (oneDNN takes memory).
  run_team(threads, [&](Team& team) {
    const int64_t worker = team.rank(), workers = team.size();
    const int64_t begin = blocks * worker / workers, end = blocks * (worker + 1) / workers;
    const int64_t from = begin * kBlock, to = std::min(end * kBlock, layout_.size);
    hooks_.prepare(worker, workers);
    team.sync();
    run_chunks(team, [&](size_t runs, size_t c) {
      gradients_[c].clear();
      chunk_loss_[c] = chunk_gradient(runs, c);
    });
    team.sync();
    if (!failed()) {
      reduce(chunks, from, to);
      pull_back(team);
      freeze(from, to);
      TrainAdam<float> mine = adam;
      if (clip_norm > 0) {
        for (int64_t b = begin; b < end; ++b)
          block_squares_[static_cast<size_t>(b)] = block_square(b);
        team.sync();
        mine.gradient_scale = static_cast<float>(clip_scale(clip_norm));
      }
      learn(mine, from, to);
    }
  });
  rethrow();
  double loss = 0;
  for (double l : chunk_loss_) loss += l;
  return loss;
}

}  // namespace nibble
