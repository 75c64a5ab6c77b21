// The language of chat templates, feature by feature, against Jinja2 (tests/golden/make_jinja.py),
// and what it may not do.
#include "nibble/text/jinja.h"

#include <gtest/gtest.h>

#include "nibble/core/error.h"
#include "nibble/core/mapped_file.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

JsonNode json_of(std::string_view text) {
  JsonTreeBuilder builder;
  parse_json(text, builder);
  return std::move(builder.root);
}

std::vector<TemplateVariable> members_of(const JsonNode& object) {
  std::vector<TemplateVariable> out;
  for (const JsonNode& child : object.children) out.push_back({child.key, child, true});
  return out;
}

std::tm fifteenth_of_january() {
  std::tm out{};
  out.tm_year = 126, out.tm_mon = 0, out.tm_mday = 15, out.tm_hour = 12, out.tm_wday = 4;
  out.tm_yday = 14;
  return out;
}

std::vector<TemplateText> parts_made(const std::string& source, const std::string& variables) {
  return ChatProgram::parse(source).render(members_of(json_of(variables)), fifteenth_of_january());
}

std::string text_made(const std::string& source, const std::string& variables = "{}") {
  std::string out;
  for (const TemplateText& part : parts_made(source, variables)) out += part.text;
  return out;
}

TEST(Jinja, IsWhatJinja2Makes) {
  const JsonNode golden =
      json_of(read_file("tests/golden/text/jinja_cases.json", int64_t{1} << 20));
  const auto variables = members_of(golden.at("variables"));
  for (const JsonNode& c : golden.elements("cases")) {
    SCOPED_TRACE(c.string("template"));
    try {
      std::string text;
      const auto program = ChatProgram::parse(c.string("template"));
      for (const TemplateText& part : program.render(variables, fifteenth_of_january()))
        text += part.text;
      if (c.find("error") != nullptr)
        ADD_FAILURE() << "Jinja2 refuses: " << c.string("error") << "\nmade: " << text;
      else
        EXPECT_EQ(text, c.string("text"));
    } catch (const Error& e) {
      EXPECT_NE(c.find("error"), nullptr) << e.what();
      EXPECT_NE(e.where().find("line "), std::string::npos) << e.what();
    }
  }
}

TEST(Jinja, ErrorsNameTheLine) {
  const auto fails = [](const std::string& words, const std::string& source) {
    expect_error(ErrorKind::corrupt, words, [&] { text_made(source); });
  };
  fails("chat template, line 3: 'x' is undefined", "a\n\n{{ x.y }}");
  fails("line 2: expected ','", "\n{{ {'a': 1 ");
  fails("line 4: unknown tag \"what\"", "\n\n\n{% what %}");
  fails("line 3: the template refuses: no",
        "{% macro m() %}\n\n{{ raise_exception('no') }}"
        "{% endmacro %}\n\n{{ m() }}");
  fails("line 2: no filter named \"nothing\"", "\n{{ 1|nothing }}");
  fails("line 2: a whole number beyond 64 bits", "\n{{ 9223372036854775807 + 1 }}");
}

TEST(Jinja, WhatATemplateSaysOfItsRefusalCannotSteerATerminal) {
  expect_error(ErrorKind::corrupt, "refuses: \\x1b[31m\\x0a",
               [] { text_made("{{ raise_exception('\x1b[31m\n') }}"); });
}

// Nothing but the variables is there to be reached.
TEST(Jinja, ReachesNothingOfTheProcess) {
  EXPECT_EQ(
      text_made("{{ ''.__class__ }}{{ m.__init__ }}{{ range.__globals__ }}", R"({"m": {"a": 1}})"),
      "");
  for (const char* attack :
       {"{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}", "{{ ''['__class__']['__mro__'][1].__subclasses__() }}",
        "{{ namespace.__init__.__globals__ }}", "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ ''|attr('__class__')|attr('__mro__')|first }}", "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}", "{{ range(3).__class__('x') }}"}) {
    try {
      EXPECT_EQ(text_made(attack), "") << attack;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::corrupt) << attack;
    }
  }
}

std::string times_over(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

// All of these end by the bounds on steps, depth and bytes, which do not depend on the machine.
TEST(Jinja, HostileTemplatesEnd) {
  const std::string loop = "{% for a in range(100000) %}";
  const std::string hostile[] = {
      times_over(loop, 4) + "x" + times_over("{% endfor %}", 4),
      "{{ range(1000000000) }}",
      "{{ 'x' * 1000000000000 }}",
      "{{ [1] * 1000000000000 }}",
      "{{ 2 ** 100000000000 }}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a(n) %}{{ b(n) }}{% endmacro %}{% macro b(n) %}{{ a(n) }}{% endmacro %}{{ a(1) }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set ns = namespace(s='ab') %}" + loop + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s=['a']) %}" + loop + "{% set ns.s = ns.s * 2 %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}" + loop + "{% set ns.s = [ns.s] %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}" + loop +
          "{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(s={}) %}" + loop + "{% set ns.s = {'a': ns.s} %}{% endfor %}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:>1000000000}'.format(1) }}",
      "{{ 'a'.center(1000000000) }}",
      "{{ 'a'.zfill(10000000000) }}",
      "{{ 'a'|indent(1000000000) }}",
      "{{ [1]|tojson(indent=1000000000) }}",
      "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
      "{{ 'a'.join(['b' * 1000000] * 1000000) }}",
      "{% set a = 'a' * 4000000 %}" + loop + "{{ a.rfind('a' * 2000000) }}{% endfor %}",
      "{% set a = 'a' * 4000000 %}{% set b = 'a' * 2000000 + 'b' %}" + loop +
          "{{ b in a }}{% endfor %}",
      "{% set a = ('a' * 1000000)|list %}" + loop + "{% set b = a|sort %}{% endfor %}",
      "{% set a = range(100000)|list %}{{ a|unique|list|length }}",
      "{{ 'x'|center(999999999)|center(9999999999) }}",
      "{{ '\\u00e9' * 3000000 }}{% for i in range(100000) %}{{ ('\\u00e9' * 3000000)[2999999] }}"
      "{% endfor %}",
      "{% macro f(g) %}{% macro h() %}{{ g }}{% endmacro %}{% set ns.m = h %}{% endmacro %}"
      "{% set ns = namespace(m=1) %}" +
          times_over(loop, 2) + "{{ f(ns.m) }}" + times_over("{% endfor %}", 2),
      "{% set ns = namespace() %}" + times_over(loop, 2) + "{% set ns.x = namespace(a=ns.x) %}" +
          times_over("{% endfor %}", 2),
      times_over("(", 100'000),
      "{{ " + times_over("(", 50'000) + "1" + times_over(")", 50'000) + " }}",
      "{{ " + times_over("[", 50'000),
      "{{ " + times_over("not ", 50'000) + "1 }}",
      "{{ " + times_over("-", 50'000) + "1 }}",
      "{{ x" + times_over(".a", 50'000) + " }}",
      "{{ x" + times_over("|e", 50'000) + " }}",
      "{{ x" + times_over("()", 50'000) + " }}",
      "{{ " + times_over("1 if 1 else ", 20'000) + "1 }}",
      times_over("{% if 1 %}", 20'000) + times_over("{% endif %}", 1),
      times_over("{% for a in b %}", 15'000),
      times_over("{% macro a() %}", 15'000),
      times_over("{% set a %}", 20'000),
      std::string(1 << 20, 'x'),
  };
  for (const std::string& source : hostile) {
    SCOPED_TRACE(source.substr(0, 100));
    if (source[0] == '(' && source[1] == '(') {
      EXPECT_EQ(text_made(source), source);  // text is text
      continue;
    }
    try {
      text_made(source);
      ADD_FAILURE() << "it ended well";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::corrupt);
      EXPECT_LT(std::string_view(e.what()).size(), 300u);
      EXPECT_EQ(std::string_view(e.what()).find('\n'), std::string_view::npos);
    }
  }
}

// Long is not deep.
TEST(Jinja, LongTemplatesAreRun) {
  EXPECT_EQ(text_made("{{ 0" + times_over(" + 1", 5000) + " }}"), "5000");
  EXPECT_EQ(text_made("{{ ''" + times_over(" ~ 1", 3) + " }}"), "111");
  EXPECT_EQ(text_made("{% if 0 %}" + times_over("{% elif 0 %}", 5000) + "{% else %}x{% endif %}"),
            "x");
  EXPECT_EQ(text_made("{{ 0" + times_over(" or 0", 5000) + " }}"), "0");
}

// What they hold in a circle is taken apart at the end.
TEST(Jinja, CirclesAreFreed) {
  EXPECT_EQ(text_made("{% set ns = namespace() %}{% set ns.me = ns %}{% macro m() %}{{ ns }}"
                      "{% endmacro %}{% set ns.m = m %}{% for x in [1] %}{% macro n() %}{{ loop }}"
                      "{% endmacro %}{% set ns.loop = loop %}{% set ns.n = n %}{% endfor %}ok"),
            "ok");
}

// "a" people's, "b" the template's: {a}b{a}.
std::string marked(const std::string& source, const std::string& variables) {
  std::string out;
  for (const TemplateText& part : parts_made(source, variables)) {
    const char* brackets = part.answer ? "<>" : part.people ? "{}" : "";
    if (*brackets != 0) out += brackets[0];
    out += part.text;
    if (*brackets != 0) out += brackets[1];
  }
  return out;
}

TEST(Jinja, TextsRememberWhoWroteThem) {
  const std::string variables = R"({"s": " Ab,c ", "d": {"k": ["v"]}, "messages": [
      {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"},
      {"role": "<|x|>", "content": "C"}]})";
  const auto expect = [&](const std::string& source, const std::string& text) {
    EXPECT_EQ(marked(source, variables), text) << source;
  };
  expect("a{{ s }}b", "a{ Ab,c }b");
  expect("{{ 'x' + s.strip() ~ 'y' }}", "x{Ab,c}y");
  expect("{{ s[2:4] }}-{{ s|upper|trim }}", "{b,}-{AB,C}");
  expect("{{ s.split(',')|join('|') }}", "{ Ab}|{c }");
  expect("{{ s.replace('b', 'X') }}", "{ A}X{,c }");
  expect("{{ d }}", "{{'k'}: [{'v'}]}");
  expect("{{ d|tojson }}", "{{\"k\"}: [{\"v\"}]}");
  expect("{{ '%s!' % s }}{{ '<{}>'.format(s) }}", "{ Ab,c }!<{ Ab,c }>");
  expect("{% set x %}1{{ s }}{% endset %}{{ x|indent }}", "1{ Ab,c }");
  expect("{% macro m(x) %}({{ x }}){% endmacro %}{{ m(s) }}", "({ Ab,c })");
  expect("{{ s|list|last }}{{ s[::-1] }}", "{  c,bA }");
  expect("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}",
         "<|user|>{U}<|assistant|>{A}<|{<|x|>}|>{C}");
  expect("a{% generation %}b{% endgeneration %}c", "a<b>c");
  expect("{% macro m() %}{% generation %}b{% endgeneration %}{% endmacro %}a{{ m() }}c", "a<b>c");
}

}  // namespace
}  // namespace nibble
