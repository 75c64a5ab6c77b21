#include "nibble/text/jinja_expressions.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/text/jinja_meter.h"
#include "nibble/text/jinja_tables.h"

namespace nibble::jinja {
namespace {

// Operators that go from left to right, the loosest first; ~ stands between the first two.
constexpr std::string_view kLevels[][4] = {{"+", "-"}, {"*", "/", "//", "%"}, {"**"}};

bool is_operator(const Token& token, int level) {
  return token.is(Token::Type::mark) &&
         std::find(std::begin(kLevels[level]), std::end(kLevels[level]), token.text) !=
             std::end(kLevels[level]);
}

// The comparison that begins here; nothing where none does.
std::string comparison_at(const TokenReader& t) {
  constexpr std::string_view kMarks[] = {"==", "!=", "<", "<=", ">", ">="};
  if (t.now().is(Token::Type::mark) &&
      std::find(std::begin(kMarks), std::end(kMarks), t.now().text) != std::end(kMarks))
    return t.now().text;
  if (t.now().is_name("in")) return "in";
  return t.now().is_name("not") && t.behind().is_name("in") ? "notin" : "";
}

}  // namespace

void ExpressionParser::refuse_unknown() const {
  if (unknown_.empty()) return;
  throw failure(unknown_.front().second).at(line_place(unknown_.front().first));
}

void ExpressionParser::note_unknown(const Node& node, bool known) {
  const std::string_view what = node.kind == NodeKind::test ? "test" : "filter";
  if (!known) unknown_.emplace_back(node.line, no_such(what, node.text));
}

NodePtr ExpressionParser::expression(bool with_condition) {
  const Nesting nesting(level_, t_);
  const size_t unknown_before = unknown();
  NodePtr left = any();
  while (with_condition && t_.now().is_name("if")) {
    NodePtr out = make_node(NodeKind::condition, t_.take().line);
    add_part(*out, std::move(left));
    add_part(*out, any());
    add_part(*out, t_.take_name("else") ? expression() : nullptr);
    forget_unknown(unknown_before);
    left = std::move(out);
  }
  return left;
}

NodePtr ExpressionParser::any() {
  NodePtr left = all();
  if (!t_.now().is_name("or")) return left;
  NodePtr out = make_node(NodeKind::any, t_.now().line);
  add_part(*out, std::move(left));
  while (t_.take_name("or")) add_part(*out, all());
  return out;
}

NodePtr ExpressionParser::all() {
  NodePtr left = opposite();
  if (!t_.now().is_name("and")) return left;
  NodePtr out = make_node(NodeKind::all, t_.now().line);
  add_part(*out, std::move(left));
  while (t_.take_name("and")) add_part(*out, opposite());
  return out;
}

NodePtr ExpressionParser::opposite() {
  if (!t_.now().is_name("not")) return comparison();
  const Nesting nesting(level_, t_);
  NodePtr out = make_node(NodeKind::opposite, t_.take().line);
  add_part(*out, opposite());
  return out;
}

NodePtr ExpressionParser::comparison() {
  NodePtr left = chain(0);
  std::string op = comparison_at(t_);
  if (op.empty()) return left;
  NodePtr out = make_node(NodeKind::compare, t_.now().line);
  add_part(*out, std::move(left));
  for (; !op.empty(); op = comparison_at(t_)) {
    t_.take();
    if (op == "notin") t_.take();
    out->words.push_back(op);
    add_part(*out, chain(0));
  }
  return out;
}

NodePtr ExpressionParser::chain(int level) {
  const auto operand = [&] { return level == 0 ? joined() : level == 1 ? chain(2) : unary(); };
  NodePtr left = operand();
  if (!is_operator(t_.now(), level)) return left;
  NodePtr out = make_node(NodeKind::chain, t_.now().line);
  add_part(*out, std::move(left));
  while (is_operator(t_.now(), level)) {
    out->words.push_back(t_.take().text);
    add_part(*out, operand());
  }
  return out;
}

NodePtr ExpressionParser::joined() {
  NodePtr left = chain(1);
  if (!t_.now().is_mark("~")) return left;
  NodePtr out = make_node(NodeKind::joined, t_.now().line);
  add_part(*out, std::move(left));
  while (t_.take_mark("~")) add_part(*out, chain(1));
  return out;
}

NodePtr ExpressionParser::unary(bool with_filters) {
  NodePtr node;
  if (t_.now().is_mark("-") || t_.now().is_mark("+")) {
    const Nesting nesting(level_, t_);
    const bool minus = t_.now().text == "-";
    node = make_node(minus ? NodeKind::negate : NodeKind::positive, t_.take().line);
    add_part(*node, unary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filtered(std::move(node)) : std::move(node);
}

NodePtr ExpressionParser::primary() {
  const Token& token = t_.now();
  if (token.is(Token::Type::name)) return named();
  if (token.is(Token::Type::text)) return literal_text();
  if (token.is(Token::Type::integer) || token.is(Token::Type::real)) {
    const bool whole = token.is(Token::Type::integer);
    NodePtr out = make_node(whole ? NodeKind::integer : NodeKind::real, token.line);
    out->integer = token.integer;
    out->real = token.real;
    t_.take();
    return out;
  }
  if (token.is_mark("[")) return literal_list();
  if (token.is_mark("{")) return literal_dict();
  if (!t_.take_mark("(")) t_.unexpected("an expression");
  NodePtr out = list(true, ListEnd::none, true);
  t_.expect_mark(")");
  return out;
}

NodePtr ExpressionParser::named() {
  const Token& token = t_.take();
  const bool yes = token.text == "true" || token.text == "True";
  if (yes || token.text == "false" || token.text == "False") {
    NodePtr out = make_node(NodeKind::boolean, token.line);
    out->integer = yes ? 1 : 0;
    return out;
  }
  if (token.text == "varargs") met_ |= kMoreArguments;
  if (token.text == "kwargs") met_ |= kNamedArguments;
  if (token.text == "caller") met_ |= kCaller;
  const bool none = token.text == "none" || token.text == "None";
  return make_node(none ? NodeKind::none : NodeKind::name, token.line, token.text);
}

NodePtr ExpressionParser::literal_text() {
  NodePtr out = make_node(NodeKind::text, t_.now().line);
  while (t_.now().is(Token::Type::text)) out->text += t_.take().text;
  out->integer = texts_++;
  return out;
}

NodePtr ExpressionParser::literal_list() {
  NodePtr out = make_node(NodeKind::list, t_.take().line);
  while (!t_.now().is_mark("]")) {
    if (!out->parts.empty()) t_.expect_mark(",");
    if (t_.now().is_mark("]")) break;
    add_part(*out, expression());
  }
  t_.expect_mark("]");
  return out;
}

NodePtr ExpressionParser::literal_dict() {
  NodePtr out = make_node(NodeKind::dict, t_.take().line);
  while (!t_.now().is_mark("}")) {
    if (!out->parts.empty()) t_.expect_mark(",");
    if (t_.now().is_mark("}")) break;
    add_part(*out, expression());
    t_.expect_mark(":");
    add_part(*out, expression());
  }
  t_.expect_mark("}");
  return out;
}

bool ExpressionParser::at_list_end(ListEnd end) const {
  const Token& now = t_.now();
  if (now.is(Token::Type::print_end) || now.is(Token::Type::block_end) || now.is_mark(")"))
    return true;
  return (end == ListEnd::in && now.is_name("in")) ||
         (end == ListEnd::recursive && now.is_name("recursive"));
}

NodePtr ExpressionParser::list(bool with_condition, ListEnd end, bool brackets) {
  NodePtr out = make_node(NodeKind::tuple, t_.now().line);
  bool tuple = false;
  while (!at_list_end(end)) {
    add_part(*out, expression(with_condition));
    if (!t_.take_mark(",")) break;
    tuple = true;
  }
  if (tuple) return out;
  if (!out->parts.empty()) return std::move(out->parts.front());
  if (!brackets) t_.unexpected("an expression");
  return out;
}

NodePtr ExpressionParser::simple_target(bool members) {
  const Nesting nesting(level_, t_);
  if (t_.take_mark("(")) {
    NodePtr out = target(members);
    t_.expect_mark(")");
    return out;
  }
  const int line = t_.now().line;
  const std::string name = t_.expect_name();
  constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
  if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants))
    t_.fail(fmt::format("can't assign to {}", name));
  if (!members || !t_.take_mark(".")) return make_node(NodeKind::name, line, name);
  NodePtr out = make_node(NodeKind::member, line, name);
  out->words.push_back(t_.expect_name());
  return out;
}

NodePtr ExpressionParser::target(bool members, ListEnd end) {
  NodePtr out = make_node(NodeKind::tuple, t_.now().line);
  bool tuple = false;
  while (!at_list_end(end)) {
    add_part(*out, simple_target(members));
    if (!t_.take_mark(",")) break;
    tuple = true;
  }
  if (tuple) return out;
  if (out->parts.empty()) t_.unexpected("a name");
  return std::move(out->parts.front());
}

NodePtr ExpressionParser::postfix(NodePtr node) {
  while (true) {
    if (t_.now().is_mark("."))
      node = member(std::move(node));
    else if (t_.now().is_mark("["))
      node = subscript(std::move(node));
    else if (t_.now().is_mark("("))
      node = call(std::move(node));
    else
      return node;
  }
}

NodePtr ExpressionParser::filtered(NodePtr node) {
  while (true) {
    if (t_.now().is_mark("|"))
      node = filters(std::move(node));
    else if (t_.now().is_name("is"))
      node = test(std::move(node));
    else if (t_.now().is_mark("("))
      node = call(std::move(node));
    else
      return node;
  }
}

NodePtr ExpressionParser::member(NodePtr node) {
  const int line = t_.take().line;
  if (t_.now().is(Token::Type::integer)) {
    NodePtr out = make_node(NodeKind::item, line);
    add_part(*out, std::move(node));
    add_part(*out, primary());
    return out;
  }
  NodePtr out = make_node(NodeKind::attribute, line, t_.expect_name());
  add_part(*out, std::move(node));
  return out;
}

NodePtr ExpressionParser::subscript(NodePtr node) {
  NodePtr out = make_node(NodeKind::item, t_.take().line);
  NodePtr several = make_node(NodeKind::tuple, out->line);
  add_part(*out, std::move(node));
  while (!t_.now().is_mark("]")) {
    if (!several->parts.empty()) t_.expect_mark(",");
    add_part(*several, subscribed());
  }
  t_.expect_mark("]");
  add_part(*out,
           several->parts.size() == 1 ? std::move(several->parts.front()) : std::move(several));
  return out;
}

NodePtr ExpressionParser::subscribed() {
  const auto at_end = [&] {
    return t_.now().is_mark(":") || t_.now().is_mark("]") || t_.now().is_mark(",");
  };
  NodePtr first = t_.now().is_mark(":") ? nullptr : expression();
  if (!t_.now().is_mark(":")) return first;
  NodePtr out = make_node(NodeKind::slice, t_.take().line);
  add_part(*out, std::move(first));
  add_part(*out, at_end() ? nullptr : expression());
  add_part(*out, t_.take_mark(":") && !at_end() ? expression() : nullptr);
  return out;
}

NodePtr ExpressionParser::call(NodePtr node) {
  NodePtr out = make_node(NodeKind::call, t_.now().line);
  add_part(*out, std::move(node));
  arguments(*out);
  return out;
}

void ExpressionParser::arguments(Node& node) {
  t_.expect_mark("(");
  while (!t_.now().is_mark(")")) {
    argument(node);
    if (!t_.take_mark(",")) break;
  }
  t_.expect_mark(")");
}

void ExpressionParser::argument(Node& node) {
  const bool spread = t_.now().is_mark("*"), named = t_.now().is_mark("**");
  const bool keyword = t_.now().is(Token::Type::name) && t_.behind().is_mark("=");
  if (!spread && !named && !keyword) {
    const size_t first =
        node.kind == NodeKind::call || node.kind == NodeKind::filter || node.kind == NodeKind::test
            ? 1
            : 0;
    if (node.parts.size() > first && node.parts.back() &&
        (node.parts.back()->kind == NodeKind::keyword ||
         node.parts.back()->kind == NodeKind::spread_named))
      t_.fail("an argument without a name behind one that has one");
    return add_part(node, expression());
  }
  const NodeKind kind = spread  ? NodeKind::spread
                        : named ? NodeKind::spread_named
                                : NodeKind::keyword;
  NodePtr out = make_node(kind, t_.now().line, keyword ? t_.now().text : "");
  t_.take();
  if (keyword) t_.take();
  add_part(*out, expression());
  add_part(node, std::move(out));
}

NodePtr ExpressionParser::filters(NodePtr node, bool begun) {
  while (begun || t_.now().is_mark("|")) {
    if (!begun) t_.take();
    begun = false;
    const int line = t_.now().line;
    NodePtr out = make_node(NodeKind::filter, line, t_.expect_name());
    note_unknown(*out, find_filter(out->text) != nullptr);
    add_part(*out, std::move(node));
    if (t_.now().is_mark("(")) arguments(*out);
    node = std::move(out);
  }
  return node;
}

NodePtr ExpressionParser::test(NodePtr node) {
  const int line = t_.take().line;
  const bool negated = t_.take_name("not");
  NodePtr out = make_node(NodeKind::test, line, t_.expect_name());
  note_unknown(*out, find_test(out->text) != nullptr);
  add_part(*out, std::move(node));
  const Token& now = t_.now();
  const bool value = now.is(Token::Type::name) || now.is(Token::Type::text) ||
                     now.is(Token::Type::integer) || now.is(Token::Type::real) ||
                     now.is_mark("[") || now.is_mark("{");
  if (now.is_mark("(")) {
    arguments(*out);
  } else if (value && !now.is_name("else") && !now.is_name("or") && !now.is_name("and")) {
    if (now.is_name("is")) t_.fail("tests cannot be chained with is");
    const Nesting nesting(level_, t_);
    add_part(*out, postfix(primary()));
  }
  if (!negated) return out;
  NodePtr opposite = make_node(NodeKind::opposite, line);
  add_part(*opposite, std::move(out));
  return opposite;
}

}  // namespace nibble::jinja
