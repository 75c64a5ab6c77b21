#include "nibble/text/jinja_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "nibble/core/error.h"
#include "nibble/text/jinja_expressions.h"
#include "nibble/text/jinja_meter.h"
#include "nibble/text/jinja_scopes.h"

namespace nibble::jinja {
namespace {

using Body = std::vector<NodePtr>;

class StatementParser {
 public:
  explicit StatementParser(std::string_view source) : t_(tokens_of(source)), e_(t_) {}

  Program run() {
    Program out;
    out.body = until({});
    e_.refuse_unknown();
    out.texts = e_.texts();
    find_unset(out);
    return out;
  }

 private:
  using Read = NodePtr (StatementParser::*)(int line);
  struct Row {
    std::string_view tag;
    Read read;
  };
  static const Row kRows[];

  // Statements up to a tag that is one of `ends`, whose name is what comes next.
  Body until(std::initializer_list<std::string_view> ends) {
    Body out;
    while (true) {
      const Token& now = t_.now();
      if (now.is(Token::Type::end)) {
        if (ends.size() > 0) t_.unexpected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
        return out;
      }
      if (now.is(Token::Type::data)) {
        out.push_back(make_node(NodeKind::data, now.line, now.text));
        t_.take();
      } else if (now.is(Token::Type::print_begin)) {
        out.push_back(print(t_.take().line));
      } else {
        t_.expect(Token::Type::block_begin, "a tag");
        const Token& tag = t_.now();
        if (tag.is(Token::Type::name) &&
            std::find(ends.begin(), ends.end(), tag.text) != ends.end())
          return out;
        out.push_back(statement());
        end_block();
      }
    }
  }

  NodePtr print(int line) {
    NodePtr out = make_node(NodeKind::print, line);
    add_part(*out, e_.list());
    t_.expect(Token::Type::print_end, "}}");
    return out;
  }

  NodePtr statement() {
    const Nesting nesting(e_.level(), t_);
    const int line = t_.now().line;
    const std::string tag = t_.expect_name();
    for (const Row* row = kRows; !row->tag.empty(); ++row) {
      if (row->tag == tag) return (this->*row->read)(line);
    }
    t_.fail(fmt::format("unknown tag {}", in_quotes(tag, 40)));
  }

  void end_block() { t_.expect(Token::Type::block_end, "%}"); }

  // The body behind a tag's words, up to the first of `ends`, which is taken as well.
  Body body(std::initializer_list<std::string_view> ends) {
    t_.take_mark(":");
    end_block();
    return until(ends);
  }
  Body whole_body(std::string_view end) {
    Body out = body({end});
    t_.take();
    return out;
  }
  // The same for what is a function of its own: loops around it do not go on or end there.
  Body function_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Body out = whole_body(end);
    loops_ = loops;
    return out;
  }

  NodePtr loop(int line) {
    NodePtr out = make_node(NodeKind::loop, line);
    add_part(*out, e_.target(false, ListEnd::in));
    if (!t_.take_name("in")) t_.unexpected("'in'");
    add_part(*out, e_.list(false, ListEnd::recursive));
    add_part(*out, t_.take_name("if") ? e_.expression() : nullptr);
    out->integer = t_.take_name("recursive") ? 1 : 0;
    ++loops_;
    add_body(*out, body({"else", "endfor"}));
    --loops_;
    if (t_.take().text == "else") add_other(*out, whole_body("endfor"));
    return out;
  }

  // elif is an if in the else, but no deeper: a list.
  NodePtr branch(int line) {
    const size_t unknown_before = e_.unknown();
    NodePtr out = make_node(NodeKind::branch, line);
    Node* last = out.get();
    while (true) {
      add_part(*last, e_.list(false));
      add_body(*last, body({"elif", "else", "endif"}));
      const Token& end = t_.take();
      if (end.text == "endif") break;
      if (end.text == "else") {
        add_other(*last, whole_body("endif"));
        break;
      }
      arms_.push_back(make_node(NodeKind::branch, end.line));
      last = arms_.back().get();
      pending_.push_back(out.get());
    }
    collect_arms(*out);
    e_.forget_unknown(unknown_before);
    return out;
  }

  // The arms of `first`, as parts behind its own condition.
  void collect_arms(Node& first) {
    size_t from = arms_.size();
    while (from > 0 && pending_[from - 1] == &first) --from;
    for (size_t i = from; i < arms_.size(); ++i) add_part(first, std::move(arms_[i]));
    arms_.resize(from);
    pending_.resize(from);
  }

  NodePtr set(int line) {
    NodePtr target = e_.target(true);
    const bool block = !t_.take_mark("=");
    NodePtr out = make_node(block ? NodeKind::set_block : NodeKind::set, line);
    add_part(*out, std::move(target));
    add_part(*out, block ? e_.filters(nullptr) : e_.list());
    if (block) add_body(*out, whole_body("endset"));
    return out;
  }

  NodePtr with(int line) {
    NodePtr out = make_node(NodeKind::with, line);
    while (!t_.now().is(Token::Type::block_end)) {
      if (!out->parts.empty()) t_.expect_mark(",");
      add_part(*out, e_.target());
      t_.expect_mark("=");
      add_part(*out, e_.expression());
    }
    add_body(*out, whole_body("endwith"));
    return out;
  }

  void signature(Node& out) {
    t_.expect_mark("(");
    while (!t_.now().is_mark(")")) {
      if (!out.words.empty()) t_.expect_mark(",");
      out.words.push_back(t_.expect_name());
      if (t_.take_mark("="))
        add_part(out, e_.expression());
      else if (!out.parts.empty())
        t_.fail("a parameter without a default behind one that has one");
    }
    t_.expect_mark(")");
  }

  // The body of a macro, which learns what it speaks of.
  void macro_body(Node& out, std::string_view end) {
    const int before = e_.take_met();
    add_body(out, function_body(end));
    out.integer = e_.take_met();
    e_.meet(before | static_cast<int>(out.integer));
  }

  NodePtr macro(int line) {
    NodePtr out = make_node(NodeKind::macro, line, t_.expect_name());
    signature(*out);
    macro_body(*out, "endmacro");
    return out;
  }

  NodePtr call_block(int line) {
    NodePtr out = make_node(NodeKind::call_block, line, "caller");
    if (t_.now().is_mark("(")) signature(*out);
    NodePtr call = e_.expression();
    if (call->kind != NodeKind::call) t_.fail("{% call %} needs a call");
    add_part(*out, std::move(call));
    macro_body(*out, "endcall");
    return out;
  }

  NodePtr filter_block(int line) {
    NodePtr out = make_node(NodeKind::filter_block, line);
    add_part(*out, e_.filters(nullptr, true));
    add_body(*out, whole_body("endfilter"));
    return out;
  }

  NodePtr generation(int line) {
    NodePtr out = make_node(NodeKind::generation, line);
    add_body(*out, function_body("endgeneration"));
    return out;
  }

  NodePtr block(int line) {
    NodePtr out = make_node(NodeKind::scope, line);
    const std::string name = t_.expect_name();
    t_.take_name("scoped");
    add_body(*out, function_body("endblock"));
    t_.take_name(name);
    return out;
  }

  NodePtr autoescape(int line) {
    const NodePtr on = e_.expression();
    if (on->kind != NodeKind::boolean || on->integer != 0)
      t_.fail("{% autoescape %} is supported with false alone");
    NodePtr out = make_node(NodeKind::scope, line);
    add_body(*out, whole_body("endautoescape"));
    return out;
  }

  NodePtr printed(int line) {
    NodePtr out = make_node(NodeKind::print, line);
    add_part(*out, e_.expression());
    return out;
  }

  NodePtr leave(int line) { return jump(NodeKind::leave, line); }
  NodePtr next(int line) { return jump(NodeKind::next, line); }
  NodePtr jump(NodeKind kind, int line) {
    if (loops_ == 0) t_.fail("break and continue belong into a loop");
    return make_node(kind, line);
  }

  // What needs other templates: there are none, which is told where it is met.
  NodePtr missing(int line) {
    while (!t_.now().is(Token::Type::block_end) && !t_.now().is(Token::Type::end)) t_.take();
    return make_node(NodeKind::missing, line);
  }

  TokenReader t_;
  ExpressionParser e_;
  int loops_ = 0;
  Body arms_;  // of the ifs that are open, and which each belongs to
  std::vector<const Node*> pending_;
};

const StatementParser::Row StatementParser::kRows[] = {{"for", &StatementParser::loop},
                                                       {"if", &StatementParser::branch},
                                                       {"set", &StatementParser::set},
                                                       {"with", &StatementParser::with},
                                                       {"macro", &StatementParser::macro},
                                                       {"call", &StatementParser::call_block},
                                                       {"filter", &StatementParser::filter_block},
                                                       {"generation", &StatementParser::generation},
                                                       {"block", &StatementParser::block},
                                                       {"autoescape", &StatementParser::autoescape},
                                                       {"print", &StatementParser::printed},
                                                       {"break", &StatementParser::leave},
                                                       {"continue", &StatementParser::next},
                                                       {"include", &StatementParser::missing},
                                                       {"import", &StatementParser::missing},
                                                       {"from", &StatementParser::missing},
                                                       {"extends", &StatementParser::missing},
                                                       {"", nullptr}};

}  // namespace

Program parse_program(std::string_view source) { return StatementParser(source).run(); }

}  // namespace nibble::jinja
