// Functions that templates can call.
#include <fmt/format.h>

#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_strftime.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {
namespace {

constexpr int64_t kLongestRange = 100'000;  // as Jinja2's sandbox has it

// The entries of a dict, or of a list of pairs.
void add_entries(Run& run, const Value& from, Entries& out) {
  if (from.is(Kind::dict)) {
    for (const auto& [key, v] : dict_of(from).items) out.set(key, v);
    return;
  }
  for (const Value& pair : walk(run, from)) {
    const std::vector<Value> two = walk(run, pair);
    if (two.size() != 2) throw failure("a dict is made of pairs");
    out.set(two[0], two[1]);
  }
}

Value dict_from(Run& run, const Arguments& given) {
  if (given.list.size() > 1) throw failure("dict expected at most 1 argument");
  Entries out(run.meter());
  if (!given.list.empty()) add_entries(run, given.list[0], out);
  for (const auto& [name, v] : given.named) out.set(of_text(run.meter(), name), v);
  return out.dict();
}

}  // namespace

Value global_dict(Run& run, const Value&, const Arguments& given) { return dict_from(run, given); }

Value global_namespace(Run& run, const Value&, const Arguments& given) {
  const Value dict = dict_from(run, given);
  std::vector<std::pair<std::string, Value>> items;
  for (const auto& [key, v] : dict_of(dict).items) {
    const std::string name = text_of(as_text(run, key)).bytes;
    if (name.starts_with('_'))
      throw failure(
          fmt::format("a namespace has no names that begin with _, as {}", in_quotes(name, 40)));
    items.emplace_back(name, v);
  }
  return run.make_space(std::move(items));
}

Value global_raise_exception(Run& run, const Value&, const Arguments& given) {
  const Bound bound("raise_exception", given, {"message"}, 1);
  const Value message = as_text(run, *bound[0]);
  throw failure(fmt::format("the template refuses: {}", printable(bytes_of_text(message), 400)));
}

Value global_range(Run& run, const Value&, const Arguments& given) {
  const Bound bound("range", given, {"start", "stop", "step"}, 1);
  Charge charge(run.meter());
  charge.add(sizeof(Range));
  auto out = std::make_shared<Range>(std::move(charge));
  const bool one = bound[1] == nullptr;
  out->start = one ? 0 : bound.integer_or(0, 0);
  out->stop = bound.integer_or(one ? 0 : 1, 0);
  out->step = bound.integer_or(2, 1);
  if (out->step == 0) throw failure("range() arg 3 must not be zero");
  constexpr int64_t kFarthest = int64_t{1} << 62;
  for (const int64_t v : {out->start, out->stop, out->step}) {
    if (v > kFarthest || v < -kFarthest) throw failure("range(): too large a number");
  }
  if (out->size() > kLongestRange)
    throw failure(fmt::format("range too big: more than {} items", kLongestRange));
  return of_object(Kind::range, std::move(out));
}

Value global_strftime_now(Run& run, const Value&, const Arguments& given) {
  const Bound bound("strftime_now", given, {"format"}, 1);
  const auto format = bound.text(0);
  if (!format) throw failure("strftime_now() takes a str");
  return of_text(run.meter(), formatted_time(bytes_of_text(*format), run.now()));
}

}  // namespace nibble::jinja
