#include "nibble/core/json.h"

#include <gtest/gtest.h>
#include <locale.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using namespace std::literals;
using test::expect_error;

// Writes down every event, so that a test can compare them all.
class Recorder : public JsonHandler {
 public:
  std::string events;
  void on_object_begin() override { events += "{ "; }
  void on_object_end() override { events += "} "; }
  void on_array_begin() override { events += "[ "; }
  void on_array_end() override { events += "] "; }
  void on_key(std::string_view v) override { events += "key:" + std::string(v) + ' '; }
  void on_string(std::string_view v) override { events += "string:" + std::string(v) + ' '; }
  void on_integer(int64_t v) override { events += "integer:" + std::to_string(v) + ' '; }
  void on_number(double, std::string_view t) override {
    events += "number:" + std::string(t) + ' ';
  }
  void on_boolean(bool v) override { events += v ? "true " : "false "; }
  void on_null() override { events += "null "; }
};

std::string events(std::string_view text) {
  Recorder recorder;
  parse_json(text, recorder);
  return recorder.events;
}

void refused(std::string_view text, std::string_view words) {
  expect_error(ErrorKind::corrupt, words, [&] { events(text); });
}

TEST(Json, TellsEveryEvent) {
  EXPECT_EQ(events(R"( {"a": [1, -2, 1.0, 1e3], "b": {"c": "x\u00e9\n", "d": true, "e": null}} )"),
            "{ key:a [ integer:1 integer:-2 number:1.0 number:1e3 ] key:b { key:c string:x\u00e9\n "
            "key:d true key:e null } } ");
}

TEST(Json, IntegersOver63BitsAreNoIntegersByDefault) {
  EXPECT_EQ(events("[9223372036854775807, 9223372036854775808, -9223372036854775808]"),
            "[ integer:9223372036854775807 number:9223372036854775808 "
            "integer:-9223372036854775808 ] ");
}

TEST(Json, NumbersTooSmallAreZeroAndTooLargeAreRefused) {
  EXPECT_EQ(JsonFields::parse(R"({"x":1e-999})").number("x"), 0.0);
  EXPECT_EQ(JsonFields::parse(R"({"x":0.0e99999999999999999999})").number("x"), 0.0);
  EXPECT_TRUE(std::signbit(JsonFields::parse(R"({"x":-1e-999})").number("x")));
  EXPECT_EQ(JsonFields::parse(R"({"x":5e-324})").number("x"), 5e-324);
  refused(R"([1e309])", "number out of range");
  refused('[' + std::string(400, '9') + ']', "number out of range");
}

TEST(Json, StringsOfEveryLengthComeWhole) {
  // The parser looks at eight bytes at a time: what ends a run may stand at each of them.
  for (size_t n = 0; n < 40; ++n) {
    const std::string plain(n, 'x');
    EXPECT_EQ(events("[\"" + plain + "\"]"), "[ string:" + plain + " ] ");
    EXPECT_EQ(events("[\"" + plain + "\\n\"]"), "[ string:" + plain + "\n ] ");
    EXPECT_EQ(events("[\"" + plain + "\u00e9\u4e2d\U0001f600\"]"),
              "[ string:" + plain + "\u00e9\u4e2d\U0001f600 ] ");
    refused("[\"" + plain + "\n\"]", "control character");
    refused("[\"" + plain + "\xff\"]", "invalid UTF-8");
    refused("[\"" + plain, "closing quote");
  }
}

TEST(Json, RefusesWhatIsNotOneDocument) {
  refused("", "offset 0");
  refused("{", "offset 1");
  refused("[1] x", "offset 4");
  refused("[1,]", "offset 3");
  refused("[01]", "offset");
  refused("[nul]", "offset 4");
  refused("[1e999]", "offset");
  refused("{}\0{}"sv, "offset 2: not valid JSON: a NUL byte");
}

TEST(Json, RefusesWhatIsNotUtf8) {
  refused("\xff", "offset 0: not valid JSON: invalid UTF-8");
  refused("[\"\xc0\x80\"]", "offset");
  refused("[\"\xed\xa0\x80\"]", "offset");
  refused(R"(["\ud800"])", "surrogate");
  refused(R"(["\udc00\ud800"])", "surrogate");
}

TEST(Json, RefusesDuplicateKeysAtEveryLevel) {
  refused(R"({"a":1,"a":2})", R"(offset 7: duplicate key "a")");
  refused(R"({"a":1,"\u0061":2})", R"(offset 7: duplicate key "a")");
  refused(R"({"x":[{"b":1,"c":{"d":1,"d":1}}]})", R"(duplicate key "d")");
  refused(R"({"a\"b":1,"a\"b":2})", "offset 10: duplicate key");
  EXPECT_NO_THROW(events(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]})"));
}

TEST(Json, RefusesDepthOver64) {
  EXPECT_NO_THROW(events(std::string(64, '[') + std::string(64, ']')));
  refused(std::string(65, '[') + std::string(65, ']'), "deeper than 64");
  refused(std::string(1 << 20, '['), "offset 64");
}

TEST(Json, RefusesOverlongStringsButNotBlanks) {
  refused('[' + ('"' + std::string(17 << 20, 'a') + "\"]"), "longer than 16777216 bytes");
  EXPECT_EQ(events('[' + std::string(20 << 20, ' ') + ']'), "[ ] ");
}

TEST(Json, AHandlersErrorGetsItsPlace) {
  class Thrower : public JsonHandler {
    void on_null() override { throw corrupt("no nulls here"); }
  } thrower;
  expect_error(ErrorKind::corrupt, "offset 105: no nulls here",
               [&] { parse_json("[null]", thrower, 100); });
}

TEST(Json, AMillionKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i)
    text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":{\"a\":1,\"b\":2}";
  text += ",\"7\":1}";
  const auto start = std::chrono::steady_clock::now();
  refused(text, "duplicate key \"7\"");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);  // seconds for O(n^2) are thousands
}

TEST(JsonFields, ReadsByPath) {
  const auto f = JsonFields::parse(
      R"({"n":12,"x":1e-5,"b":true,"s":"text","z":null,"o":{"f":2.5,"e":{}},"l":["p","q"],"i":[1,2],"e":[]})");
  EXPECT_EQ(f.integer("n"), 12);
  EXPECT_EQ(f.number("x"), 1e-5);
  EXPECT_EQ(f.number("n"), 12.0);
  EXPECT_TRUE(f.boolean("b"));
  EXPECT_EQ(f.string("s"), "text");
  EXPECT_EQ(f.number("o.f"), 2.5);
  EXPECT_EQ(f.strings("l"), (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(f.integers("i"), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(f.strings("e").empty());
  EXPECT_TRUE(f.strings("absent").empty());
  EXPECT_EQ(f.keys(""), (std::vector<std::string>{"n", "x", "b", "s", "z", "o", "l", "i", "e"}));
  EXPECT_EQ(f.keys("o"), (std::vector<std::string>{"f", "e"}));
  EXPECT_TRUE(f.contains("z") && f.is_null("z") && f.has_section("o.e") && !f.has_section("z"));
  // Objects and arrays are there as well: a value of the wrong type is not an absent one.
  EXPECT_TRUE(f.contains("o") && f.contains("l") && f.contains("e"));
  EXPECT_FALSE(f.contains("absent") || f.has_section("absent") || f.is_null("absent"));
}

TEST(JsonFields, FallsBackWhereAbsentOrNull) {
  const auto f = JsonFields::parse(R"({"z":null,"s":"x"})");
  EXPECT_EQ(f.integer_or("z", 3), 3);
  EXPECT_EQ(f.number_or("absent", 0.5), 0.5);
  EXPECT_EQ(f.string_or("s", "y"), "x");
  EXPECT_TRUE(f.boolean_or("absent", true));
  expect_error(ErrorKind::corrupt, R"(key "s": expected an integer, found the string "x")",
               [&] { (void)f.integer_or("s", 1); });
}

TEST(JsonFields, NamesTheKey) {
  const auto f = JsonFields::parse(R"({"layers":"12","o":{},"f":1.5,"big":18446744073709551615})");
  expect_error(ErrorKind::corrupt, R"(key "layers": expected an integer, found the string "12")",
               [&] { (void)f.integer("layers"); });
  expect_error(ErrorKind::corrupt, R"(key "o": expected a number, found an object)",
               [&] { (void)f.number("o"); });
  expect_error(ErrorKind::corrupt, R"(key "gone": missing)", [&] { (void)f.string("gone"); });
  expect_error(ErrorKind::corrupt, "found 1.5", [&] { (void)f.integer("f"); });
  expect_error(ErrorKind::corrupt, "found 18446744073709551615", [&] { (void)f.integer("big"); });
}

TEST(JsonFields, SectionsAreObjects) {
  const auto f = JsonFields::parse(R"({"o":{},"z":null,"s":"linear","l":[1],"n":4,"b":false})");
  EXPECT_TRUE(f.has_section("o"));
  EXPECT_FALSE(f.has_section("z") || f.has_section("absent"));
  expect_error(ErrorKind::corrupt, R"(key "s": expected an object, found the string "linear")",
               [&] { (void)f.has_section("s"); });
  for (const char* key : {"l", "n", "b"})
    expect_error(ErrorKind::corrupt, "expected an object", [&] { (void)f.has_section(key); });
}

// Python's json writes them, transformers with it; no value that counts may be one.
TEST(JsonFields, NumbersThatAreNotFinite) {
  const auto f = JsonFields::parse(R"({"a":NaN,"b":[Infinity,-Infinity],"c":{"d":-Infinity}})");
  EXPECT_EQ(f.keys(""), (std::vector<std::string>{"a", "b", "c"}));
  expect_error(ErrorKind::corrupt, R"(key "a": expected a finite number, found NaN)",
               [&] { (void)f.number("a"); });
  expect_error(ErrorKind::corrupt, R"(key "c.d": expected a finite number, found -Infinity)",
               [&] { (void)f.number_or("c.d", 1); });
  expect_error(ErrorKind::corrupt, R"(key "a": expected an integer, found NaN)",
               [&] { (void)f.integer_or("a", 1); });
  for (const char* text : {R"({"a":nan})", R"({"a":Inf})", R"({"a":-NaN})", R"({"a":+Infinity})",
                           R"({"a":NaN1})", R"({"a":Infinity.0})", "NaN"})
    EXPECT_THROW((void)JsonFields::parse(text), Error) << text;
}

TEST(Json, StrictUnlessAskedForPythonsNumbers) {
  JsonHandler handler;
  for (const char* text : {"NaN", "Infinity", "-Infinity", "[1,NaN]"}) {
    refused(text, "not valid JSON");
    EXPECT_NO_THROW(parse_json(text, handler, 0, JsonNumbers::python)) << text;
  }
}

TEST(JsonFields, TellsWhatNobodyAskedFor) {
  const auto f = JsonFields::parse(
      R"({"n":12,"o":{"a":1,"b":{"c":2,"d":3}},"on":1,"l":[1,2],"x":{"y":1},"q":{"r":{"s":1}}})");
  EXPECT_EQ(f.unread(), (std::vector<std::string>{"n", "o", "on", "l", "x", "q"}));
  (void)f.integer("n");
  (void)f.integer_or("o.b.c", 0);
  (void)f.integers("l");
  (void)f.has_section("x");
  (void)f.contains("absent");
  (void)f.keys("q");
  EXPECT_EQ(f.unread(), (std::vector<std::string>{"o.a", "o.b.d", "on", "x.y", "q"}));
  EXPECT_EQ(f.shown("o"), "an object");
  EXPECT_EQ(f.shown("n"), "12");
}

TEST(JsonFields, IsBounded) {
  const auto parse = [](const std::string& text) {
    return [text] { (void)JsonFields::parse(text); };
  };
  expect_error(ErrorKind::corrupt, "limit 1048576", parse('"' + std::string(1 << 20, 'x') + '"'));
  std::string many = "[0";
  for (int i = 0; i < 70'000; ++i) many += ",0";
  expect_error(ErrorKind::corrupt, "65536", parse("{\"a\":" + many + "]}"));
  // A long key above many values would be repeated in every path.
  many.resize(60'000);
  expect_error(ErrorKind::corrupt, "too long",
               parse("{\"" + std::string(900'000, 'k') + "\":[0,0,0,0,0,0,0,0,0,0,0]}"));
  expect_error(ErrorKind::corrupt, "expected a JSON object", parse("[1]"));
  expect_error(ErrorKind::corrupt, "path", parse(R"({"a.b":1,"a":{"b":2}})"));
}

TEST(JsonWriter, Writes) {
  JsonWriter w;
  w.begin_object().field("x", 1.0).field("s", "a\"\\\n\x01\xff").field("yes", true);
  w.array("list", std::vector<int64_t>{1, 2, 3});
  w.key("rows").begin_array().begin_object().field("n", 1).end_object().end_array();
  w.key("none").begin_array().end_array().key("nan").value(std::nan(""));
  w.key("as it stood").number_text("1.50e-05").end_object();
  EXPECT_EQ(w.finish(), R"({
  "x": 1.0,
  "s": "a\"\\\n\u0001)"
                        "\xEF\xBF\xBD"
                        R"(",
  "yes": true,
  "list": [1, 2, 3],
  "rows": [
    {
      "n": 1
    }
  ],
  "none": [],
  "nan": null,
  "as it stood": 1.50e-05
}
)");
}

TEST(JsonWriter, EveryBeginHasItsEnd) {
  EXPECT_THROW(JsonWriter().begin_object().finish(), std::logic_error);
  EXPECT_THROW(JsonWriter().begin_object().value(1), std::logic_error);
  EXPECT_THROW(JsonWriter().begin_object().key("a").end_object(), std::logic_error);
  EXPECT_THROW(JsonWriter().begin_object().end_array(), std::logic_error);
  EXPECT_THROW(JsonWriter().value(1).value(2), std::logic_error);
}

RC_GTEST_PROP(JsonWriter, NumbersReadBackTheSame, (double x)) {
  RC_PRE(std::isfinite(x));
  JsonWriter w;
  const std::string text = w.begin_object().field("x", x).end_object().finish();
  const double back = JsonFields::parse(text).number("x");
  RC_ASSERT(std::signbit(back) == std::signbit(x));
  RC_ASSERT(back == x);
}

RC_GTEST_PROP(JsonWriter, IntegersAndTextReadBackTheSame,
              (int64_t n, const std::vector<uint16_t>& letters)) {
  std::string text;  // valid UTF-8 of one to three bytes
  for (const uint16_t letter : letters) {
    const unsigned c = letter % 0xD800u;
    if (c < 0x80) {
      text += static_cast<char>(c == 0 ? 1 : c);
    } else if (c < 0x800) {
      text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
               static_cast<char>(0x80 | (c & 0x3F))};
    }
  }
  JsonWriter w;
  const std::string json = w.begin_object().field("n", n).field("t", text).end_object().finish();
  const JsonFields f = JsonFields::parse(json);
  RC_ASSERT(f.integer("n") == n);
  RC_ASSERT(f.string("t") == text);
  const auto peer = nlohmann::json::parse(json);
  RC_ASSERT(peer["t"].get<std::string>() == text);
}

}  // namespace
}  // namespace nibble
