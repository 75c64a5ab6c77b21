// Macros, callers and loops that call themselves.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_guards.h"
#include "nibble/text/jinja_run.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {

// The scopes around it are needed as long as there may be somebody to call it.
Value Run::make_macro(const Node& node) {
  Charge charge(meter_);
  charge.add(sizeof(Macro));
  auto out = std::make_shared<Macro>(std::move(charge));
  out->node = &node;
  out->around = scope_;
  for (Scope* s = scope_; s != nullptr && !s->kept; s = s->around) {
    meter_.step();
    s->kept = true;
  }
  return of_object(Kind::macro, std::move(out));
}

void Run::define_macro(const Node& node) { scope_->set(node.text, make_macro(node)); }

void Run::execute_call_block(const Node& node, TextBuilder& out) {
  const Node& call_node = *node.parts.back();
  const Value callee = evaluate(*call_node.parts[0]);
  Arguments arguments = arguments_of(call_node, 1);
  arguments.named.emplace_back("caller", make_macro(node));
  out.add(text_of(shown(meter_, call(callee, arguments))));
}

Value Run::call(const Value& callee, const Arguments& arguments) {
  require_defined(callee);
  if (callee.is(Kind::macro))
    return call_macro(static_cast<const Macro&>(*callee.object), arguments);
  if (callee.is(Kind::loop)) return again(static_cast<const Loop&>(*callee.object), arguments);
  if (!callee.is(Kind::function))
    throw failure(fmt::format("'{}' object is not callable", type_name(callee)));
  const auto& f = static_cast<const Function&>(*callee.object);
  return f.callee(*this, f.self, arguments);
}

Value Run::call_macro(const Macro& macro, const Arguments& arguments) {
  const Level level(*this, *macro.node);
  const Inside inside(*this, macro.around, macro.node->unset);
  bind(macro, arguments);
  TextBuilder out(meter_);
  execute(macro.node->body, out);
  return out.finish();
}

// Gives the parameters their values: by place, by name, defaults. What is left over is `varargs`
// and `kwargs`, or an error where the macro does not speak of them.
void Run::bind(const Macro& macro, const Arguments& given) {
  const Node& node = *macro.node;
  const size_t count = node.words.size();
  if (given.list.size() > count && (node.integer & kMoreArguments) == 0)
    throw failure(fmt::format("macro '{}' takes not more than {} argument(s)", node.text, count));
  Items more(meter_);
  for (size_t i = count; i < given.list.size(); ++i) more.add(given.list[i]);
  for (size_t i = 0; i < std::min(count, given.list.size()); ++i)
    scope_->set(node.words[i], given.list[i]);
  bind_named(node, given);
  bind_defaults(node);
  if ((node.integer & kMoreArguments) != 0) scope_->set("varargs", more.tuple());
}

void Run::bind_named(const Node& node, const Arguments& given) {
  Entries more(meter_);
  if ((node.integer & kCaller) != 0) scope_->set("caller", undefined(meter_, "no caller defined"));
  for (const auto& [name, v] : given.named) {
    const auto word = std::find(node.words.begin(), node.words.end(), name);
    const bool free = word - node.words.begin() >= std::ssize(given.list);
    if (word != node.words.end() && free)
      scope_->set(*word, v);
    else if (name == "caller" && (node.integer & kCaller) != 0)
      scope_->set("caller", v);
    else if ((node.integer & kNamedArguments) != 0)
      more.set(of_text(meter_, name), v);
    else
      throw failure(fmt::format("macro '{}' takes no keyword argument '{}'", node.text, name));
  }
  if ((node.integer & kNamedArguments) != 0) scope_->set("kwargs", more.dict());
}

void Run::bind_defaults(const Node& node) {
  // The last part of a call block is its call.
  const size_t defaults =
      node.parts.size() - (node.kind == NodeKind::call_block ? size_t{1} : size_t{0});
  const size_t required = node.words.size() - defaults;
  for (size_t i = 0; i < node.words.size(); ++i) {
    const std::string& word = node.words[i];
    if (scope_->find(word) != nullptr) continue;
    scope_->set(word,
                i >= required
                    ? evaluate(*node.parts[i - required])
                    : undefined(meter_, fmt::format("parameter '{}' was not provided", word)));
  }
}

Value Run::again(const Loop& loop, const Arguments& arguments) {
  if (loop.again == nullptr)
    throw failure("the loop must have the 'recursive' marker to be called recursively");
  const Level level(*this, *loop.again);
  if (arguments.list.size() != 1) throw failure("loop() takes one argument");
  const Inside inside(*this, loop.around);
  TextBuilder out(meter_);
  execute_loop(*loop.again, arguments.list[0], loop.level + 1, out);
  return out.finish();
}

Value Run::filter(std::string_view name, const Value& subject, const Arguments& arguments) {
  const Callee found = find_filter(name);
  if (found == nullptr) throw failure(no_such("filter", name));
  return found(*this, subject, arguments);
}

bool Run::test(std::string_view name, const Value& subject, const Arguments& arguments) {
  const Callee found = find_test(name);
  if (found == nullptr) throw failure(no_such("test", name));
  return truth(found(*this, subject, arguments));
}

}  // namespace nibble::jinja
