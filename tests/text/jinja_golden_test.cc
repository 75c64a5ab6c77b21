// What transformers makes of 41 published templates with 16 conversations: the same text, or both
// refuse. ../shared/golden/make_templates.py wrote it.
#include <gtest/gtest.h>

#include "nibble/core/error.h"
#include "nibble/core/mapped_file.h"
#include "nibble/text/jinja.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

const std::string kTemplates = "../shared/data/templates/";

JsonNode read_json(const std::string& path) {
  JsonTreeBuilder builder;
  parse_json(read_file(path, int64_t{16} << 20), builder);
  return std::move(builder.root);
}

TemplateVariable text_variable(const std::string& name, const std::string& text) {
  TemplateVariable out{name, {}, false};
  out.value.type = JsonNode::Type::string;
  out.value.text = text;
  return out;
}

// As make_templates.py calls a template.
std::vector<TemplateVariable> variables_of(const JsonNode& conversation) {
  std::vector<TemplateVariable> out;
  for (const char* name : {"tools", "documents"}) out.push_back({name, {}, true});
  out.push_back({"add_generation_prompt", {}, true});
  out.back().value.type = JsonNode::Type::boolean;
  out.back().value.integer = 1;
  for (const JsonNode& child : conversation.children) {
    std::erase_if(out, [&](const TemplateVariable& v) { return v.name == child.key; });
    out.push_back({child.key, child, true});
  }
  for (const auto& [name, text] :
       std::vector<std::pair<std::string, std::string>>{{"bos_token", "<BOS>"},
                                                        {"eos_token", "<EOS>"},
                                                        {"pad_token", "<PAD>"},
                                                        {"unk_token", "<UNK>"}})
    out.push_back(text_variable(name, text));
  return out;
}

std::tm pinned_day() {
  std::tm out{};
  out.tm_year = 126, out.tm_mon = 0, out.tm_mday = 15, out.tm_hour = 12, out.tm_wday = 4;
  out.tm_yday = 14;
  return out;
}

void expect_same(const ChatProgram& program, const JsonNode& conversation, const JsonNode& golden) {
  try {
    std::string text;
    for (const TemplateText& part : program.render(variables_of(conversation), pinned_day()))
      text += part.text;
    if (golden.find("error") != nullptr) {
      ADD_FAILURE() << "transformers refuses: " << golden.string("message") << "\nmade:\n" << text;
    } else {
      EXPECT_EQ(text, golden.string("text"));
    }
  } catch (const Error& e) {
    ASSERT_NE(golden.find("error"), nullptr) << e.what();
    EXPECT_EQ(e.kind(), ErrorKind::corrupt);
    EXPECT_NE(e.where().find("line "), std::string::npos) << e.what();
    // A template's own message is told.
    if (golden.string("error") == "TemplateError") {
      EXPECT_NE(e.reason().find(golden.string("message")), std::string::npos) << e.what();
    }
  }
}

TEST(JinjaGolden, IsWhatTransformersMakesOfPublishedTemplates) {
  if (test::lacks_shared(kTemplates + "templates.json")) GTEST_SKIP() << kTemplates;
  const JsonNode all = read_json(kTemplates + "templates.json");
  int cases = 0;
  for (const JsonNode& of_template : all.at("results").children) {
    const auto program =
        ChatProgram::parse(read_file(kTemplates + of_template.key, int64_t{1} << 20));
    for (const JsonNode& golden : of_template.children) {
      SCOPED_TRACE(of_template.key + ", " + golden.key);
      expect_same(program, all.at("conversations").at(golden.key), golden);
      ++cases;
    }
  }
  EXPECT_EQ(cases, 656);
}

}  // namespace
}  // namespace nibble
