#include "nibble/text/jinja_value.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_text.h"

namespace nibble::jinja {
namespace {

constexpr int kDeepest = 100;
constexpr size_t kObject = 64;  // what one takes besides its content

int checked_depth(int depth) {
  if (depth > kDeepest) throw failure("values within values, too deep");
  return depth;
}

void require_hashable(const Value& key) {
  if (key.is(Kind::list) || key.is(Kind::dict))
    throw failure(fmt::format("unhashable type: '{}'", type_name(key)));
  if (!key.is(Kind::tuple)) return;
  for (const Value& v : items_of(key)) require_hashable(v);
}

int64_t characters_in(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) >> 6) != 2; });
}

Value entry_of(Run& run, const std::pair<Value, Value>& entry, View::Of of) {
  if (of == View::Of::keys) return entry.first;
  if (of == View::Of::values) return entry.second;
  Items pair(run.meter());
  pair.add(entry.first);
  pair.add(entry.second);
  return pair.tuple();
}

std::vector<Value> drain(Generator& g) {
  std::vector<Value> out(g.items.begin() + static_cast<ptrdiff_t>(g.next), g.items.end());
  g.next = g.items.size();
  if (g.failure) throw *g.failure;
  return out;
}

}  // namespace

int64_t Range::size() const {
  const int64_t span = step > 0 ? stop - start : start - stop;
  const int64_t width = step > 0 ? step : -step;
  return span <= 0 ? 0 : (span - 1) / width + 1;
}

const Value* Arguments::find(std::string_view name) const {
  for (const auto& [n, v] : named) {
    if (n == name) return &v;
  }
  return nullptr;
}

Value of_boolean(bool v) {
  Value out;
  out.kind = Kind::boolean;
  out.integer = v ? 1 : 0;
  return out;
}

Value of_integer(int64_t v) {
  Value out;
  out.kind = Kind::integer;
  out.integer = v;
  return out;
}

Value of_real(double v) {
  Value out;
  out.kind = Kind::real;
  out.real = v;
  return out;
}

Value of_object(Kind kind, std::shared_ptr<Object> object) {
  Value out;
  out.kind = kind;
  out.object = std::move(object);
  return out;
}

Value of_text(Charge charge, std::string bytes, std::vector<OriginSpan> spans, bool markup) {
  charge.add(kObject);
  auto out = std::make_shared<Text>(std::move(charge));
  out->length = characters_in(bytes);
  out->bytes = std::move(bytes);
  out->spans = std::move(spans);
  out->markup = markup;
  return of_object(Kind::text, std::move(out));
}

Value of_text(Meter& meter, std::string_view bytes, Origin origin) {
  TextBuilder builder(meter);
  builder.add(bytes, origin);
  return builder.finish();
}

Value undefined(Meter& meter, std::string message) {
  Charge charge(meter);
  charge.add(kObject + message.size());
  auto out = std::make_shared<Undefined>(std::move(charge));
  out->message = std::move(message);
  return of_object(Kind::undefined, std::move(out));
}

void Items::add(Value v) {
  charge_.add(sizeof(Value));
  charge_.meter().step();
  depth_ = checked_depth(std::max(depth_, v.depth() + 1));
  values_.push_back(std::move(v));
}

Value Items::finish(Kind kind) {
  charge_.add(kObject);
  auto out = std::make_shared<List>(std::move(charge_));
  out->items = std::move(values_);
  out->depth = depth_;
  return of_object(kind, std::move(out));
}

Value Items::generator(std::string_view type, std::optional<Error> failed) {
  charge_.add(kObject);
  auto out = std::make_shared<Generator>(std::move(charge_));
  out->items = std::move(values_);
  out->depth = depth_;
  out->type = type;
  out->failure = std::move(failed);
  return of_object(Kind::generator, std::move(out));
}

void Entries::append(Value key, Value v) {
  charge_.add(2 * sizeof(Value));
  depth_ = checked_depth(std::max({depth_, key.depth() + 1, v.depth() + 1}));
  items_.emplace_back(std::move(key), std::move(v));
}

void Entries::set(const Value& key, Value v) {
  require_hashable(key);
  charge_.meter().step(static_cast<int64_t>(items_.size()) / 8 + 1);
  for (auto& [k, old] : items_) {
    if (!equal(charge_.meter(), k, key)) continue;
    depth_ = checked_depth(std::max(depth_, v.depth() + 1));
    old = std::move(v);
    return;
  }
  append(key, std::move(v));
}

Value Entries::dict() {
  charge_.add(kObject);
  auto out = std::make_shared<Dict>(std::move(charge_));
  out->items = std::move(items_);
  out->depth = depth_;
  return of_object(Kind::dict, std::move(out));
}

std::string_view type_name(const Value& v) {
  constexpr std::string_view kNames[] = {"Undefined", "NoneType",    "bool",  "int",
                                         "float",     "str",         "list",  "tuple",
                                         "dict",      "dict_view",   "range", "generator",
                                         "Namespace", "LoopContext", "Macro", "function"};
  if (v.is(Kind::generator)) return static_cast<const Generator&>(*v.object).type;
  if (v.is(Kind::view)) {
    constexpr std::string_view kViews[] = {"dict_keys", "dict_values", "dict_items"};
    return kViews[static_cast<size_t>(static_cast<const View&>(*v.object).of)];
  }
  return kNames[static_cast<size_t>(v.kind)];
}

bool truth(const Value& v) {
  switch (v.kind) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return v.integer != 0;
    case Kind::real:
      return v.real != 0;
    case Kind::text:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
    case Kind::loop:
      return length_of(v) > 0;
    default:
      return true;
  }
}

void require_defined(const Value& v) {
  if (v.is(Kind::undefined)) throw failure(static_cast<const Undefined&>(*v.object).message);
}

const Value* find_key(const Dict& dict, std::string_view key) {
  for (const auto& [k, v] : dict.items) {
    if (k.is(Kind::text) && bytes_of_text(k) == key) return &v;
  }
  return nullptr;
}

const Value* find_key(Meter& meter, const Dict& dict, const Value& key) {
  require_hashable(key);
  meter.step(static_cast<int64_t>(dict.items.size()) / 8);
  for (const auto& [k, v] : dict.items) {
    if (equal(meter, k, key)) return &v;
  }
  return nullptr;
}

int64_t length_of(const Value& v) {
  switch (v.kind) {
    case Kind::undefined:
      return 0;
    case Kind::text:
      return text_of(v).length;
    case Kind::list:
    case Kind::tuple:
      return std::ssize(items_of(v));
    case Kind::dict:
      return std::ssize(dict_of(v).items);
    case Kind::view:
      return length_of(static_cast<const View&>(*v.object).dict);
    case Kind::range:
      return static_cast<const Range&>(*v.object).size();
    case Kind::loop:
      return std::ssize(static_cast<const Loop&>(*v.object).items);
    default:
      throw failure(fmt::format("object of type '{}' has no len()", type_name(v)));
  }
}

bool is_iterable(const Value& v) {
  return v.is(Kind::undefined) || v.is(Kind::text) ||
         (v.kind >= Kind::list && v.kind <= Kind::generator) || v.is(Kind::loop);
}

std::vector<Value> walk(Run& run, const Value& v) {
  std::vector<Value> out;
  if (v.is(Kind::undefined)) return out;
  if (v.is(Kind::list) || v.is(Kind::tuple)) return items_of(v);
  if (v.is(Kind::generator)) return drain(static_cast<Generator&>(*v.object));
  if (v.is(Kind::loop) || !is_iterable(v))
    throw failure(fmt::format("'{}' object is not iterable", type_name(v)));
  run.meter().step(length_of(v));
  if (v.is(Kind::text)) return characters_of(run.meter(), text_of(v));
  if (v.is(Kind::range)) {
    const auto& r = static_cast<const Range&>(*v.object);
    for (int64_t i = 0; i < r.size(); ++i) out.push_back(of_integer(r.start + i * r.step));
    return out;
  }
  const bool view = v.is(Kind::view);
  const Dict& dict = dict_of(view ? static_cast<const View&>(*v.object).dict : v);
  const View::Of of = view ? static_cast<const View&>(*v.object).of : View::Of::keys;
  for (const auto& entry : dict.items) out.push_back(entry_of(run, entry, of));
  return out;
}

}  // namespace nibble::jinja
