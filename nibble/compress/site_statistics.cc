#include "nibble/compress/site_statistics.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

// What the original model has for the rows that a group reads.
Rows original_rows(const GroupPlace& place, SampleStream& original, size_t sample,
                   const SiteInput& of) {
  Rows out;
  original.with_input(sample, [&](const Rows& kept) {
    const SiteInput input(place.plan, place.index, kept);
    if (!place.site().experts) {
      out.assign(input.of(0).begin(), input.of(0).end());
      return;
    }
    for (const int32_t row : of.sources(place.expert)) {
      const auto there = input.of_row(row);
      out.insert(out.end(), there.begin(), there.end());
    }
  });
  return out;
}

// What the outputs should be, so that adding them to this model's stream makes it the original's.
Rows target_of(const StatisticsSource& source, size_t sample) {
  Rows target;
  source.original->with_stream(sample, [&](const Rows& x) { target = x; });
  source.rows.with_stream(sample, [&](const Rows& x) {
    for (size_t i = 0; i < x.size(); ++i)
      target[i] -= x[i] + (source.bias.empty() ? 0 : source.bias[i % source.bias.size()]);
  });
  return target;
}

}  // namespace

bool corrects_stream(const GroupPlace& place) {
  return place.layer >= 0 && site_steps(place.plan)[place.index].adds;
}

InputStatistics site_statistics(const GroupPlace& place, const StatisticsSource& source,
                                bool hessian, const Exec& exec) {
  const Site& site = place.site();
  const bool targets = source.original != nullptr && corrects_stream(place);
  // Behind its first site an expert has other rows in the original model.
  const bool pairs =
      source.original != nullptr && !targets && (!site.experts || site.in == BufferId::gathered);
  const int64_t outputs = targets ? site.members[0].outputs : 0;
  StatisticsCollector collector(site.inputs, {hessian, pairs, outputs});
  for (size_t s = 0; s < source.samples; ++s) {
    source.rows.with_input(s, [&](const Rows& kept) {
      const SiteInput input(place.plan, place.index, kept);
      const std::span<const float> x = input.of(place.expert);
      const Rows original = pairs ? original_rows(place, *source.original, s, input) : Rows();
      const Rows target = targets ? target_of(source, s) : Rows();
      collector.add({x, original, target}, std::ssize(x) / site.inputs, exec.threads);
    });
  }
  return collector.finish(exec.threads);
}

}  // namespace nibble
