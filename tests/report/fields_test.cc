// A list of fields as a document and as a table.
#include "nibble/report/fields.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

struct Thing {
  std::string name;
  int64_t bytes;
  bool good;
};

constexpr Field<Thing> kThings[] = {
    {"name", [](const Thing& t) -> FieldValue { return t.name; }, "thing", show_text},
    {"bytes", [](const Thing& t) -> FieldValue { return t.bytes; }, "size", show_bytes},
    {"good", [](const Thing& t) -> FieldValue { return t.good; }, "good", show_yes_no},
    {"none", [](const Thing&) -> FieldValue { return {}; }, "none", show_rate},
    {"hidden", [](const Thing&) -> FieldValue { return 0.5; }},
    {"time", [](const Thing&) -> FieldValue { return Speedup{}; }}};

TEST(Fields, MakeADocument) {
  JsonWriter out;
  out.begin_object();
  write_fields<Thing>(kThings, {"a", 2048, true}, out);
  EXPECT_EQ(out.end_object().finish(),
            "{\n  \"name\": \"a\",\n  \"bytes\": 2048,\n  \"good\": true,\n  \"none\": null,\n"
            "  \"hidden\": 0.5,\n  \"time\": null\n}\n");
}

TEST(Fields, MakeATableOfTheColumnsChosen) {
  const std::vector<Thing> rows = {{"a", 2048, true}, {"b", 12, false}};
  EXPECT_EQ(fields_table<Thing>(kThings, {{"name"}, {"good"}, {"bytes"}, {"none"}}, rows, 80),
            "thing  good      size  none\n"
            "---------------------------\n"
            "a       yes  2.00 KiB     -\n"
            "b        no      12 B     -\n");
  EXPECT_ANY_THROW(fields_table<Thing>(kThings, {{"other"}}, rows, 80));
}

}  // namespace
}  // namespace nibble
