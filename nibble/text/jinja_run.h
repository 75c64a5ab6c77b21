// One run of a chat template's program.
#pragma once

#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/jinja_parser.h"
#include "nibble/text/jinja_text.h"
#include "nibble/text/jinja_value.h"

namespace nibble::jinja {

/// Names that a part of a template sees: its own, then those around it.
struct Scope {
  Scope* around = nullptr;
  bool kept = false;                                ///< a macro goes on needing it
  const std::vector<std::string>* unset = nullptr;  ///< names that are undefined until they are set
  std::vector<std::pair<std::string_view, Value>> names;

  const Value* find(std::string_view name) const;
  bool hides(std::string_view name) const;
  void set(std::string_view name, Value v);
};

class Run {
 public:
  /// `now` is what strftime_now() says. All must outlive it.
  Run(const Program& program, Meter& meter, const std::tm& now);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// A variable of the template; `name` must outlive the run.
  void set(std::string_view name, Value v) { base_.set(name, std::move(v)); }
  /// The text that the template makes. Errors name the line.
  Value text();

  Meter& meter() { return meter_; }
  const std::tm& now() const { return now_; }

  /// a.name, a[key], as Jinja2's sandbox has them: undefined where there is none.
  Value attribute(const Value& a, std::string_view name);
  Value item(const Value& a, const Value& key);
  Value call(const Value& callee, const Arguments& arguments);
  Value filter(std::string_view name, const Value& subject, const Arguments& arguments);
  bool test(std::string_view name, const Value& subject, const Arguments& arguments);
  /// A namespace: it may hold itself, so the run takes it apart at its end.
  Value make_space(std::vector<std::pair<std::string, Value>> items);
  /// A builtin as a value; of a method with what it belongs to.
  Value function(std::string_view name, Callee callee, Value self = {});
  Value no_attribute(const Value& a, std::string_view name);

 private:
  enum class Flow : uint8_t { on, leave, next };
  class Level;   // of depth
  class Inside;  // a scope

  Value evaluate(const Node& node);
  Value evaluate_text(const Node& node);
  Value evaluate_name(const Node& node);
  const Value* look_up(std::string_view name);
  Value evaluate_items(const Node& node);
  Value evaluate_dict(const Node& node);
  Value evaluate_joined(const Node& node);
  Value evaluate_chain(const Node& node);
  Value evaluate_any(const Node& node, bool stop_at);
  Value evaluate_compare(const Node& node);
  Value evaluate_condition(const Node& node);
  Value evaluate_item(const Node& node);
  Value evaluate_slice(const Value& a, const Node& slice);
  Value evaluate_call(const Node& node);
  Value evaluate_filter(const Node& node);
  Value evaluate_test(const Node& node);
  Arguments arguments_of(const Node& node, size_t from);

  Flow execute(const std::vector<NodePtr>& body, TextBuilder& out);
  Flow execute(const Node& node, TextBuilder& out);
  Flow execute_branch(const Node& node, TextBuilder& out);
  Flow execute_with(const Node& node, TextBuilder& out);
  Flow execute_scope(const Node& node, TextBuilder& out);
  void execute_set_block(const Node& node);
  void execute_filter_block(const Node& node, TextBuilder& out);
  void execute_generation(const Node& node, TextBuilder& out);
  void define_macro(const Node& node);
  void execute_call_block(const Node& node, TextBuilder& out);
  void execute_loop(const Node& node, const Value& all, int64_t level, TextBuilder& out);
  std::vector<Value> chosen_items(const Node& node, const Value& all);
  void assign(const Node& target, Value v);
  void unpack(const Node& target, const Value& v);

  Value filtered(const Node* node, Value v);
  Value make_macro(const Node& node);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  void bind(const Macro& macro, const Arguments& given);
  void bind_named(const Node& node, const Arguments& given);
  void bind_defaults(const Node& node);
  Value again(const Loop& loop, const Arguments& arguments);
  Value loop_attribute(const Value& loop, std::string_view name);
  Value bound_method(const Value& a, std::string_view name);

  const Program& program_;
  Meter& meter_;
  const std::tm& now_;
  Scope base_;  // variables and builtins
  Scope* scope_ = &base_;
  int line_ = 1, depth_ = 0;
  std::vector<Value> texts_;                  // literals, once they were met
  std::vector<std::unique_ptr<Scope>> kept_;  // that macros need
  std::vector<std::shared_ptr<Space>> spaces_;
};

/// The text of `v`, or of what str() makes of it.
inline Value as_text(Run& run, const Value& v) { return shown(run.meter(), v); }

}  // namespace nibble::jinja
