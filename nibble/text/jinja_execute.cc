// Statements, run.
#include <fmt/format.h>

#include "nibble/text/jinja_guards.h"
#include "nibble/text/jinja_run.h"

namespace nibble::jinja {

Run::Flow Run::execute(const std::vector<NodePtr>& body, TextBuilder& out) {
  for (const NodePtr& node : body) {
    const Flow flow = execute(*node, out);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Run::Flow Run::execute(const Node& node, TextBuilder& out) {
  const Level level(*this, node);
  switch (node.kind) {
    case NodeKind::data:
      out.add(node.text);
      break;
    case NodeKind::print:
      out.add(text_of(shown(meter_, evaluate(*node.parts[0]))));
      break;
    case NodeKind::branch:
      return execute_branch(node, out);
    case NodeKind::loop:
      execute_loop(node, evaluate(*node.parts[1]), 0, out);
      break;
    case NodeKind::set:
      assign(*node.parts[0], evaluate(*node.parts[1]));
      break;
    case NodeKind::set_block:
      execute_set_block(node);
      break;
    case NodeKind::with:
      return execute_with(node, out);
    case NodeKind::macro:
      define_macro(node);
      break;
    case NodeKind::call_block:
      execute_call_block(node, out);
      break;
    case NodeKind::filter_block:
      execute_filter_block(node, out);
      break;
    case NodeKind::scope:
      return execute_scope(node, out);
    case NodeKind::generation:
      execute_generation(node, out);
      break;
    case NodeKind::leave:
      return Flow::leave;
    case NodeKind::next:
      return Flow::next;
    default:
      throw failure("there are no other templates to include, import or extend");
  }
  return Flow::on;
}

Run::Flow Run::execute_branch(const Node& node, TextBuilder& out) {
  if (truth(evaluate(*node.parts[0]))) return execute(node.body, out);
  for (size_t i = 1; i < node.parts.size(); ++i) {
    const Node& arm = *node.parts[i];
    if (truth(evaluate(*arm.parts[0]))) return execute(arm.body, out);
  }
  return execute(node.parts.size() > 1 ? node.parts.back()->other : node.other, out);
}

Run::Flow Run::execute_with(const Node& node, TextBuilder& out) {
  std::vector<Value> values;
  for (size_t i = 1; i < node.parts.size(); i += 2) values.push_back(evaluate(*node.parts[i]));
  const Inside inside(*this, node.unset);
  for (size_t i = 0; i < values.size(); ++i) assign(*node.parts[2 * i], std::move(values[i]));
  return execute(node.body, out);
}

Run::Flow Run::execute_scope(const Node& node, TextBuilder& out) {
  const Inside inside(*this, node.unset);
  return execute(node.body, out);
}

void Run::execute_set_block(const Node& node) {
  TextBuilder text(meter_);
  {
    const Inside inside(*this, node.unset);
    execute(node.body, text);
  }
  assign(*node.parts[0], filtered(node.parts[1].get(), text.finish()));
}

void Run::execute_filter_block(const Node& node, TextBuilder& out) {
  TextBuilder text(meter_);
  const Inside inside(*this, node.unset);
  execute(node.body, text);
  out.add(text_of(shown(meter_, filtered(node.parts[0].get(), text.finish()))));
}

void Run::execute_generation(const Node& node, TextBuilder& out) {
  TextBuilder text(meter_);
  const Inside inside(*this, node.unset);
  execute(node.body, text);
  text.cover(kAnswer);
  out.add(text_of(text.finish()));
}

// The filters of a block, the first of which has no subject of its own.
Value Run::filtered(const Node* node, Value v) {
  if (node == nullptr) return v;
  const Value subject = filtered(node->parts[0].get(), std::move(v));
  const Arguments arguments = arguments_of(*node, 1);
  return filter(node->text, subject, arguments);
}

void Run::assign(const Node& target, Value v) {
  if (target.kind == NodeKind::name) return scope_->set(target.text, std::move(v));
  if (target.kind == NodeKind::tuple) return unpack(target, v);
  const Value* space = look_up(target.text);
  if (space == nullptr || !space->is(Kind::space))
    throw failure("cannot assign attribute on non-namespace object");
  const std::string& name = target.words[0];
  if (name.starts_with('_'))
    throw failure(fmt::format("a namespace has no names that begin with _, as {}", name));
  auto& items = static_cast<Space&>(*space->object).items;
  for (auto& [n, old] : items) {
    if (n != name) continue;
    old = std::move(v);
    return;
  }
  items.emplace_back(name, std::move(v));
}

void Run::unpack(const Node& target, const Value& v) {
  if (!is_iterable(v))
    throw failure(fmt::format("cannot unpack non-iterable {} object", type_name(v)));
  std::vector<Value> all = walk(*this, v);
  if (all.size() < target.parts.size())
    throw failure(fmt::format("not enough values to unpack (expected {}, got {})",
                              target.parts.size(), all.size()));
  if (all.size() > target.parts.size())
    throw failure(fmt::format("too many values to unpack (expected {})", target.parts.size()));
  for (size_t i = 0; i < all.size(); ++i) assign(*target.parts[i], std::move(all[i]));
}

// What a loop goes through: all, or where its condition holds.
std::vector<Value> Run::chosen_items(const Node& node, const Value& all) {
  if (!is_iterable(all)) throw failure(fmt::format("'{}' object is not iterable", type_name(all)));
  std::vector<Value> items = walk(*this, all);
  if (!node.parts[2]) return items;
  std::vector<Value> out;
  for (Value& v : items) {
    const Inside inside(*this);
    assign(*node.parts[0], v);
    if (truth(evaluate(*node.parts[2]))) out.push_back(std::move(v));
  }
  return out;
}

void Run::execute_loop(const Node& node, const Value& all, int64_t level, TextBuilder& out) {
  Charge charge(meter_);
  charge.add(sizeof(Loop));
  auto loop = std::make_shared<Loop>(std::move(charge));
  loop->items = chosen_items(node, all);
  loop->charge.add(loop->items.size() * sizeof(Value));
  for (const Value& v : loop->items) loop->depth = std::max(loop->depth, v.depth() + 1);
  loop->level = level;
  loop->again = node.integer != 0 ? &node : nullptr;
  loop->around = scope_;
  for (; loop->index < loop->items.size(); ++loop->index) {
    meter_.step();
    const Inside inside(*this, node.unset);
    assign(*node.parts[0], loop->items[loop->index]);
    scope_->set("loop", of_object(Kind::loop, loop));
    if (execute(node.body, out) == Flow::leave) return;
  }
  if (!loop->items.empty()) return;
  const Inside inside(*this);
  execute(node.other, out);
}

}  // namespace nibble::jinja
