// Expressions, run.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_guards.h"
#include "nibble/text/jinja_operators.h"
#include "nibble/text/jinja_run.h"

namespace nibble::jinja {
namespace {

std::optional<int64_t> slice_bound(const Value& v) {
  if (v.is(Kind::none)) return std::nullopt;
  if (!v.is_integer())
    throw failure(fmt::format("slice indices must be integers or None, not {}", type_name(v)));
  return v.integer;
}

// The indices that a slice of `size` elements takes, as Python counts them.
std::vector<int64_t> slice_indices(Meter& meter, int64_t size, std::optional<int64_t> begin,
                                   std::optional<int64_t> end, int64_t step) {
  if (step == 0) throw failure("slice step cannot be zero");
  const auto bounded = [&](int64_t at) {
    if (at < 0) at += size;
    return std::clamp<int64_t>(at, step > 0 ? 0 : -1, step > 0 ? size : size - 1);
  };
  int64_t at = begin ? bounded(*begin) : step > 0 ? 0 : size - 1;
  const int64_t stop = end ? bounded(*end) : step > 0 ? size : -1;
  std::vector<int64_t> out;
  const int64_t width = std::clamp<int64_t>(step, -size - 1, size + 1);
  for (; width > 0 ? at < stop : at > stop; at += width) {
    meter.step();
    out.push_back(at);
  }
  return out;
}

Value sliced_text(Meter& meter, const Text& text, const std::vector<int64_t>& at, bool straight) {
  if (at.empty()) return part_of(meter, text, 0, 0);
  if (straight) {
    const size_t begin = offset_of(meter, text, at.front());
    return part_of(meter, text, begin, offset_of(meter, text, at.back() + 1));
  }
  const std::vector<Value> all = characters_of(meter, text);
  TextBuilder out(meter);
  for (const int64_t i : at) out.add(text_of(all[static_cast<size_t>(i)]));
  return out.finish(text.markup);
}

}  // namespace

Value Run::evaluate(const Node& node) {
  const Level level(*this, node);
  switch (node.kind) {
    case NodeKind::none:
      return none();
    case NodeKind::boolean:
      return of_boolean(node.integer != 0);
    case NodeKind::integer:
      return of_integer(node.integer);
    case NodeKind::real:
      return of_real(node.real);
    case NodeKind::text:
      return evaluate_text(node);
    case NodeKind::name:
      return evaluate_name(node);
    case NodeKind::list:
    case NodeKind::tuple:
      return evaluate_items(node);
    case NodeKind::dict:
      return evaluate_dict(node);
    case NodeKind::negate:
      return negated(evaluate(*node.parts[0]));
    case NodeKind::positive:
      return calculate(meter_, "+", of_integer(0), evaluate(*node.parts[0]));
    case NodeKind::opposite:
      return of_boolean(!truth(evaluate(*node.parts[0])));
    case NodeKind::all:
      return evaluate_any(node, false);
    case NodeKind::any:
      return evaluate_any(node, true);
    case NodeKind::joined:
      return evaluate_joined(node);
    case NodeKind::chain:
      return evaluate_chain(node);
    case NodeKind::compare:
      return evaluate_compare(node);
    case NodeKind::condition:
      return evaluate_condition(node);
    case NodeKind::attribute:
      return attribute(evaluate(*node.parts[0]), node.text);
    case NodeKind::item:
      return evaluate_item(node);
    case NodeKind::call:
      return evaluate_call(node);
    case NodeKind::filter:
      return evaluate_filter(node);
    case NodeKind::test:
      return evaluate_test(node);
    default:
      throw failure("a slice that belongs to nothing");
  }
}

Value Run::evaluate_text(const Node& node) {
  Value& v = texts_[static_cast<size_t>(node.integer)];
  if (!v.object) v = of_text(meter_, node.text);
  return v;
}

// nullptr where it is undefined.
const Value* Run::look_up(std::string_view name) {
  for (const Scope* s = scope_; s != nullptr; s = s->around) {
    meter_.step(static_cast<int64_t>(s->names.size()) / 16);
    if (const Value* v = s->find(name)) return v;
    if (s->hides(name)) return nullptr;
  }
  return nullptr;
}

Value Run::evaluate_name(const Node& node) {
  if (const Value* v = look_up(node.text)) return *v;
  return undefined(meter_, fmt::format("'{}' is undefined", node.text));
}

Value Run::evaluate_items(const Node& node) {
  Items out(meter_);
  for (const NodePtr& part : node.parts) out.add(evaluate(*part));
  return node.kind == NodeKind::list ? out.list() : out.tuple();
}

Value Run::evaluate_dict(const Node& node) {
  Entries out(meter_);
  for (size_t i = 0; i < node.parts.size(); i += 2) {
    const Value key = evaluate(*node.parts[i]);
    out.set(key, evaluate(*node.parts[i + 1]));
  }
  return out.dict();
}

Value Run::evaluate_joined(const Node& node) {
  TextBuilder out(meter_);
  for (const NodePtr& part : node.parts) out.add(text_of(shown(meter_, evaluate(*part))));
  return out.finish();
}

Value Run::evaluate_chain(const Node& node) {
  Value left = evaluate(*node.parts[0]);
  for (size_t i = 1; i < node.parts.size(); ++i) {
    const Value right = evaluate(*node.parts[i]);
    line_ = node.line;
    left = calculate(meter_, node.words[i - 1], left, right);
  }
  return left;
}

// and, or: the first that decides.
Value Run::evaluate_any(const Node& node, bool stop_at) {
  Value out;
  for (const NodePtr& part : node.parts) {
    out = evaluate(*part);
    if (truth(out) == stop_at) break;
  }
  return out;
}

Value Run::evaluate_compare(const Node& node) {
  Value left = evaluate(*node.parts[0]);
  for (size_t i = 1; i < node.parts.size(); ++i) {
    Value right = evaluate(*node.parts[i]);
    if (!compare(*this, node.words[i - 1], left, right)) return of_boolean(false);
    left = std::move(right);
  }
  return of_boolean(true);
}

Value Run::evaluate_condition(const Node& node) {
  if (truth(evaluate(*node.parts[1]))) return evaluate(*node.parts[0]);
  if (node.parts[2]) return evaluate(*node.parts[2]);
  return undefined(meter_, "the inline if-expression evaluated to false and has no else");
}

Value Run::evaluate_item(const Node& node) {
  const Value a = evaluate(*node.parts[0]);
  const Node& key = *node.parts[1];
  if (key.kind == NodeKind::slice) return evaluate_slice(a, key);
  return item(a, evaluate(key));
}

Value Run::evaluate_slice(const Value& a, const Node& slice) {
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (slice.parts[i]) bounds[i] = evaluate(*slice.parts[i]);
  }
  require_defined(a);
  const bool text = a.is(Kind::text), list = a.is(Kind::list), range = a.is(Kind::range);
  if (a.is(Kind::dict)) throw failure("unhashable type: 'slice'");
  if (!text && !list && !range && !a.is(Kind::tuple))
    throw failure(fmt::format("'{}' object is not subscriptable", type_name(a)));
  const int64_t step = slice_bound(bounds[2]).value_or(1);
  const auto at =
      slice_indices(meter_, length_of(a), slice_bound(bounds[0]), slice_bound(bounds[1]), step);
  if (text) return sliced_text(meter_, text_of(a), at, step == 1);
  const std::vector<Value> all = walk(*this, a);
  Items out(meter_);
  for (const int64_t i : at) out.add(all[static_cast<size_t>(i)]);
  return a.is(Kind::tuple) ? out.tuple() : out.list();
}

Arguments Run::arguments_of(const Node& node, size_t from) {
  Arguments out;
  for (size_t i = from; i < node.parts.size(); ++i) {
    const Node& part = *node.parts[i];
    if (part.kind == NodeKind::keyword) {
      out.named.emplace_back(part.text, evaluate(*part.parts[0]));
    } else if (part.kind == NodeKind::spread) {
      for (Value& v : walk(*this, evaluate(*part.parts[0]))) out.list.push_back(std::move(v));
    } else if (part.kind == NodeKind::spread_named) {
      const Value v = evaluate(*part.parts[0]);
      if (!v.is(Kind::dict))
        throw failure(fmt::format("argument after ** must be a mapping, not {}", type_name(v)));
      for (const auto& [key, value] : dict_of(v).items)
        out.named.emplace_back(text_of(shown(meter_, key)).bytes, value);
    } else {
      out.list.push_back(evaluate(part));
    }
  }
  return out;
}

Value Run::evaluate_call(const Node& node) {
  const Value callee = evaluate(*node.parts[0]);
  const Arguments arguments = arguments_of(node, 1);
  line_ = node.line;
  return call(callee, arguments);
}

Value Run::evaluate_filter(const Node& node) {
  const Value subject = evaluate(*node.parts[0]);
  const Arguments arguments = arguments_of(node, 1);
  line_ = node.line;
  return filter(node.text, subject, arguments);
}

Value Run::evaluate_test(const Node& node) {
  const Value subject = evaluate(*node.parts[0]);
  const Arguments arguments = arguments_of(node, 1);
  line_ = node.line;
  return of_boolean(test(node.text, subject, arguments));
}

}  // namespace nibble::jinja
