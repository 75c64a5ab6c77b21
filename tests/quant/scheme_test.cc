#include "nibble/quant/scheme.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Scheme, ReadsTheExamplesOfTheDesign) {
  const QuantScheme int8 = parse_scheme("int8");
  EXPECT_EQ(int8, parse_scheme("int8:channel"));
  EXPECT_EQ(to_string(int8), "int8");
  const QuantScheme s = parse_scheme("int4:g32:asym");
  EXPECT_EQ(s.type, NumberType::int4);
  EXPECT_EQ(s.granularity, Granularity::group);
  EXPECT_EQ(s.group, 32);
  EXPECT_TRUE(s.asymmetric);
  EXPECT_EQ(parse_scheme("int4:g128:a8").activations, ActivationType::a8);
  EXPECT_EQ(parse_scheme("int8:tensor:a8static").activations, ActivationType::a8_static);
  EXPECT_EQ(parse_scheme("nf4").group, 64);
  EXPECT_EQ(to_string(parse_scheme("mxfp4")), "mxfp4");
  EXPECT_EQ(parse_scheme("fp32").type, NumberType::f32);
  EXPECT_EQ(to_string(parse_scheme("fp16")), "f16");
  EXPECT_EQ(parse_scheme("ternary").bits(), 2);
}

TEST(Scheme, RefusesWhatIsNotOneAndSaysWhatIsAllowed) {
  for (const char* bad : {"",
                          "int9",
                          "int1",
                          "INT8",
                          "int4:",
                          "int4:g",
                          "int4:g0",
                          "int4:g-1",
                          "int4:g01",
                          "int4:g1x",
                          "int4:g99999999999999999999",
                          "int4:asym:g32",
                          "int4:g32:g32",
                          "int4:a8:asym",
                          "int4:a8:a8",
                          "int4:channel:tensor",
                          "f32:g16",
                          "f32:a8",
                          "f16:tensor",
                          "ternary:asym",
                          "nf4:channel",
                          "nf4:asym",
                          "mxfp4:g16",
                          ":int4",
                          "int4::asym",
                          "int4:asym:asym",
                          "int4 :asym",
                          "fp8_e4m3:g16:a8",
                          "fp8_e4m3:a8"}) {
    try {
      parse_scheme(bad);
      ADD_FAILURE() << bad << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::invalid_argument) << bad;
      EXPECT_GT(e.reason().size(), 30u) << e.what();
    }
  }
}

// Those of GGUF's codebooks have names, for what files hold; nobody can ask for one.
TEST(Scheme, TypesThatAreOnlyReadCannotBeAskedFor) {
  for (const char* name : {"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s"}) {
    EXPECT_EQ(to_string(parse_any_scheme(name)), name);
    test::expect_error(ErrorKind::invalid_argument,
                       std::string("scheme: ") + name + " is read from files and not made",
                       [&] { parse_scheme(name); });
    for (const std::string_view example : scheme_examples()) EXPECT_NE(example, name);
  }
  test::expect_error(ErrorKind::invalid_argument, "cannot follow iq2_xs",
                     [] { parse_scheme("iq2_xs:a8"); });
  try {
    parse_scheme("int9");
  } catch (const Error& e) {
    EXPECT_EQ(e.reason().find("iq2_xs"), std::string::npos) << e.reason();
    EXPECT_NE(e.reason().find("iq4_xs"), std::string::npos) << e.reason();
  }
}

TEST(Scheme, GroupLargerThanTheRowIsOneGroup) {
  const QuantScheme s = parse_scheme("int4:g128");
  EXPECT_EQ(s.group_size(48), 48);
  EXPECT_EQ(s.group_size(256), 128);
  EXPECT_EQ(parse_scheme("int4").group_size(48), 48);
}

TEST(Scheme, EveryExampleIsCanonical) {
  for (const auto text : scheme_examples()) EXPECT_EQ(to_string(parse_scheme(text)), text);
}

// Every combination of parts; those that parse give back the same scheme.
TEST(Scheme, SpellingRoundTripsOverAllCombinations) {
  int valid = 0;
  for (const char* type :
       {"f32", "f16", "bf16", "int2", "int3", "int4", "int5", "int6", "int7", "int8", "ternary",
        "nf4", "fp4", "fp8_e4m3", "fp8_e5m2", "mxfp4", "nvfp4"}) {
    for (const char* granularity : {"", ":tensor", ":channel", ":g1", ":g16", ":g1073741824"}) {
      for (const char* asym : {"", ":asym"}) {
        for (const char* activations : {"", ":a8", ":a8full", ":a8static", ":afp8"}) {
          const std::string text = std::string(type) + granularity + asym + activations;
          try {
            const QuantScheme s = parse_scheme(text);
            ++valid;
            EXPECT_EQ(parse_scheme(to_string(s)), s) << text;
          } catch (const Error&) {
          }
        }
      }
    }
  }
  EXPECT_EQ(valid, 3 + 7 * 6 * 2 * 5 + 6 * 5 + 2 * 4 + 2 * 6 * 2 + 2);
}

TEST(Scheme, PropertyAnyGroupRoundTrips) {
  EXPECT_TRUE(rc::check("parse(to_string(s)) == s", [] {
    QuantScheme s;
    s.type = static_cast<NumberType>(*rc::gen::inRange(static_cast<int>(NumberType::int2),
                                                       static_cast<int>(NumberType::int8) + 1));
    s.granularity = Granularity::group;
    s.group = *rc::gen::inRange<int64_t>(1, (int64_t{1} << 30) + 1);
    s.asymmetric = *rc::gen::arbitrary<bool>();
    s.activations = static_cast<ActivationType>(*rc::gen::inRange(0, 6));
    RC_ASSERT(parse_scheme(to_string(s)) == s);
  }));
}

}  // namespace
}  // namespace nibble
