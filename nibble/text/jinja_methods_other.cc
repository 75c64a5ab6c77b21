// Methods of dicts, lists and loops.
#include <fmt/format.h>

#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {
namespace {

Value view_of(Run& run, const Value& dict, View::Of of) {
  Charge charge(run.meter());
  charge.add(sizeof(View));
  auto out = std::make_shared<View>(std::move(charge));
  out->of = of;
  out->dict = dict;
  out->depth = dict.depth() + 1;
  return of_object(Kind::view, std::move(out));
}

}  // namespace

Value dict_copy(Run&, const Value& self, const Arguments&) { return self; }

Value dict_get(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("get", given, {"key", "default"}, 1);
  const Value* found = find_key(run.meter(), dict_of(self), *bound[0]);
  return found == nullptr ? bound.value_or(1, none()) : *found;
}

Value dict_items(Run& run, const Value& self, const Arguments&) {
  return view_of(run, self, View::Of::items);
}
Value dict_keys(Run& run, const Value& self, const Arguments&) {
  return view_of(run, self, View::Of::keys);
}
Value dict_values(Run& run, const Value& self, const Arguments&) {
  return view_of(run, self, View::Of::values);
}

Value list_copy(Run&, const Value& self, const Arguments&) { return self; }

Value list_count(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("count", given, {"value"}, 1);
  int64_t count = 0;
  for (const Value& v : items_of(self)) count += equal(run.meter(), v, *bound[0]) ? 1 : 0;
  return of_integer(count);
}

Value list_index(Run& run, const Value& self, const Arguments& given) {
  const Bound bound("index", given, {"value"}, 1);
  const auto& all = items_of(self);
  for (size_t i = 0; i < all.size(); ++i) {
    if (equal(run.meter(), all[i], *bound[0])) return of_integer(static_cast<int64_t>(i));
  }
  throw failure(fmt::format("the value is not in the {}", type_name(self)));
}

Value loop_changed(Run& run, const Value& self, const Arguments& given) {
  auto& loop = static_cast<Loop&>(*self.object);
  Items all(run.meter());
  for (const Value& v : given.list) all.add(v);
  Value now = all.tuple();
  const bool same = loop.changed && equal(run.meter(), *loop.changed, now);
  if (now.depth() > 20) throw failure("loop.changed(): values within values, too deep");
  loop.changed = std::move(now);
  return of_boolean(!same);
}

Value loop_cycle(Run&, const Value& self, const Arguments& given) {
  if (given.list.empty()) throw failure("no items for cycling given");
  return given.list[static_cast<const Loop&>(*self.object).index % given.list.size()];
}

}  // namespace nibble::jinja
