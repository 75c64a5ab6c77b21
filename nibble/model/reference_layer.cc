#include "nibble/model/reference_layer.h"

#include <algorithm>
#include <cmath>

#include "nibble/model/reference_steps.h"

namespace nibble::reference {

void Steps::run(const Step& step) {
  switch (step.op) {
    case Op::norm:
      return norm(step);
    case Op::project:
      return project(step);
    case Op::keys:
      return keys(step);
    case Op::attend:
      return attend(step);
    case Op::convolve:
      return convolve(step);
    case Op::delta:
      return delta(step);
    case Op::mamba_convolve:
      return mamba_convolve(step);
    case Op::mamba_scan:
      return mamba_scan(step);
    case Op::mamba_gate:
      return mamba_gate(step);
    case Op::activate:
      return activate(step);
    case Op::gate:
      return gate(step);
    case Op::gate_rows:
      return gate_rows(step);
    case Op::add:
      return add(step);
    case Op::scale:
      for (double& x : buffer(step.out)) x *= double{find_.vector({Role::layer_scale, layer_})[0]};
      return;
    case Op::route:
      return route(step);
    case Op::combine:
      return combine(step);
  }
}

void Steps::norm(const NormPlan& n, double* x) const {
  norm_row(find_, {n.role, layer_}, n.kind, n.eps, n.width, x);
}

void Steps::norm(const Step& step) {
  Rows y = buffer(step.in);
  const NormPlan& n = plan_.norms[at(step.index)];
  for (size_t i = 0; i < y.size(); i += at(n.width)) norm(n, y.data() + i);
  Rows& out = output(step.out, step.adds);
  for (size_t i = 0; i < y.size(); ++i) out[i] += y[i];
}

void Steps::project(const Step& step) {
  const Site& site = plan_.site(step);
  for (const SiteMember& m : site.members) {
    output(m.out, step.adds);
    for (int64_t e = 0; e < plan_.copies(site); ++e) multiply(site, m, site.experts ? e : -1);
  }
  const Rows& gate = buffer(site.members.front().out);
  Rows& up = buffer(site.members.back().out);
  for (size_t i = 0; i < up.size() && step.end != LinearEnd::none; ++i)
    up[i] = ended(step.end, gate[i], up[i]);
  split(step.out), split(site.members.front().out);
}

void Steps::multiply(const Site& site, const SiteMember& m, int64_t expert) {
  const Matrix w = matrix(find_, {m.role, layer_, static_cast<int>(expert)});
  for (int64_t r = 0; r < rows_ * plan_.buffer(site.in).rows; ++r) {
    if (expert < 0 || chosen_[at(r)] == expert) w.add(row(site.in, r), row(m.out, r));
  }
}

// Buffers that are columns of this one.
void Steps::split(BufferId of) {
  for (size_t i = 0; i < kBuffers; ++i) {
    const auto id = static_cast<BufferId>(i);
    const BufferPlan& b = plan_.buffer(id);
    if (b.within != of) continue;
    output(id, false);
    const int64_t piece = b.piece;
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < b.width; ++c)
        row(id, r)[c] = row(of, r)[b.first + c / piece * b.step + c % piece];
    }
  }
}

void Steps::activate(const Step& step) {
  const int64_t n = plan_.buffer(step.out).width;
  if (step.in == BufferId::gate) {
    for (size_t i = 0; i < buffer(step.out).size(); ++i)
      buffer(step.out)[i] =
          ended(step.end, double{step.scale} * buffer(step.in)[i], buffer(step.out)[i]);
    return;
  }
  output(step.out, false);
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < n; ++c)
      row(step.out, r)[c] = ended(step.end, row(step.in, r)[c], row(step.in, r)[n + c]);
  }
}

void Steps::gate(const Step& step) {
  for (size_t i = 0; i < buffer(step.out).size(); ++i)
    buffer(step.out)[i] /= 1 + std::exp(-buffer(step.in)[i]);
}

void Steps::gate_rows(const Step& step) {
  const std::vector<float> w = find_.vector({Role::shared_router, layer_});
  for (int64_t r = 0; r < rows_; ++r) {
    double dot = 0;
    for (size_t i = 0; i < w.size(); ++i) dot += double{w[i]} * row(step.in, r)[i];
    for (int64_t c = 0; c < plan_.buffer(step.out).width; ++c)
      row(step.out, r)[c] /= 1 + std::exp(-dot);
  }
}

void Steps::add(const Step& step) {
  const Rows x = buffer(step.in);
  Rows& out = output(step.out, step.adds);
  for (size_t i = 0; i < x.size(); ++i) out[i] += double{step.scale} * x[i];
}

void Steps::route(const Step& step) {
  const ExpertPlan& plan = *plan_.experts;
  const Matrix router = matrix(find_, {Role::router, layer_});
  output(step.out, false);
  for (int64_t r = 0; r < rows_; ++r) {
    Rows logits(at(plan.experts));
    router.add(row(plan.router_in, r), logits.data());
    for (double& v : logits) v *= plan.router.logit_scale;
    choose(logits);
    for (int64_t i = 0; i < plan.chosen; ++i)
      std::copy_n(row(step.in, r), plan_.buffer(step.in).width, row(step.out, r * plan.chosen + i));
  }
}

void Steps::choose(const Rows& logits) {
  const ExpertPlan& plan = *plan_.experts;
  const Rows score = scores(plan, logits);
  Rows by = score;
  const std::vector<float> correction = find_.vector({Role::router_correction, layer_});
  for (size_t e = 0; e < correction.size(); ++e) by[e] += double{correction[e]};
  double sum = plan.router.floor;
  for (const int64_t e : largest(compared(plan, std::move(by)), plan.chosen)) {
    chosen_.push_back(e);
    weights_.push_back(score[at(e)]);
    sum += score[at(e)];
  }
  const std::vector<float> scale = find_.vector({Role::expert_scale, layer_});
  for (size_t i = weights_.size() - at(plan.chosen); i < weights_.size(); ++i) {
    weights_[i] *= plan.router.scale / (plan.router.normalize ? sum : 1);
    if (!scale.empty()) weights_[i] *= double{scale[at(chosen_[i])]};
  }
}

void Steps::combine(const Step& step) {
  const int64_t chosen = plan_.experts->chosen, width = plan_.buffer(step.in).width;
  output(step.out, step.adds);
  for (int64_t i = 0; i < rows_ * chosen; ++i) {
    for (int64_t c = 0; c < width; ++c)
      row(step.out, i / chosen)[c] += weights_[at(i)] * row(step.in, i)[c];
  }
}

}  // namespace nibble::reference

namespace nibble {

void run_reference_layer(const DecoderConfig& config, int layer, const ParameterFinder& find,
                         std::vector<double>& x) {
  reference::Steps(config, layer, find, x);
}

}  // namespace nibble
