#include "nibble/model/carry_over.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/files.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 2> kDropped = {"quantization_config", "quantization"};
constexpr int64_t kFileLimit = int64_t{1} << 28;
constexpr std::array kFiles = {"tokenizer.json",
                               "tokenizer_config.json",
                               "tokenizer.model",
                               "tokenizer.bin",
                               "vocab.json",
                               "merges.txt",
                               "added_tokens.json",
                               "special_tokens_map.json",
                               "generation_config.json",
                               "chat_template.jinja",
                               "chat_template.json",
                               "LICENSE",
                               "LICENSE.txt",
                               "LICENSE.md",
                               "NOTICE",
                               "USE_POLICY.md"};

// The folder that a model's files may lie in: its own, or models--ORG--NAME around the snapshot
// that it is in the Hugging Face cache, whose files are links to ../../blobs/HASH.
fs::path home_of(const std::string& folder) {
  std::error_code none;
  const fs::path real = fs::canonical(folder, none), model = real.parent_path().parent_path();
  const bool cached = real.parent_path().filename() == "snapshots" &&
                      model.filename().string().starts_with("models--");
  return cached ? model : real;
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end() && !folder.empty();
}

// Writes what it hears, one key of the outermost object left out with all that is under it.
class Copier : public JsonHandler {
 public:
  Copier(JsonWriter& out, std::string_view dropped) : out_(out), dropped_(dropped) {}
  void on_object_begin() override {
    if (depth_++ > 0) copy([&] { out_.begin_object(); });
  }
  void on_object_end() override {
    if (--depth_ > 0) copy([&] { out_.end_object(); });
    end_value();
  }
  void on_array_begin() override {
    require_object();
    ++depth_;
    copy([&] { out_.begin_array(); });
  }
  void on_array_end() override {
    --depth_;
    copy([&] { out_.end_array(); });
    end_value();
  }
  void on_key(std::string_view key) override {
    if (depth_ == 1 && (key == dropped_ || std::ranges::find(kDropped, key) != kDropped.end()))
      dropping_ = true;
    copy([&] { out_.key(key); });
  }
  void on_string(std::string_view v) override {
    scalar([&] { out_.value(v); });
  }
  void on_integer(int64_t v) override {
    scalar([&] { out_.value(v); });
  }
  void on_number(double, std::string_view text) override {
    scalar([&] { out_.number_text(text); });
  }
  void on_boolean(bool v) override {
    scalar([&] { out_.value(v); });
  }
  void on_null() override {
    scalar([&] { out_.null(); });
  }

 private:
  template <class F>
  void copy(F f) {
    if (!dropping_) f();
  }
  template <class F>
  void scalar(F f) {
    require_object();
    copy(f);
    end_value();
  }
  void require_object() const {
    if (depth_ == 0) throw corrupt("expected a JSON object");
  }
  void end_value() {
    if (depth_ == 1) dropping_ = false;
  }

  JsonWriter& out_;
  std::string_view dropped_;
  int depth_ = 0;
  bool dropping_ = false;
};

// The names of what may be carried over; the last ones are chat templates in files of their own.
std::vector<std::string> names_to_carry(const std::string& from) {
  const std::string folder = "additional_chat_templates";
  std::vector<std::string> out(std::begin(kFiles), std::end(kFiles)), more;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(from + "/" + folder, none)) {
    if (entry.path().extension() == ".jinja")
      more.push_back(folder + "/" + entry.path().filename().string());
  }
  std::sort(more.begin(), more.end());
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace

std::string carry_config(std::string_view original, const std::function<void(JsonWriter&)>& add,
                         std::string_view dropped) {
  JsonWriter out;
  out.begin_object();
  Copier copier(out, dropped);
  parse_json(original, copier, 0, JsonNumbers::python);
  add(out);
  return out.end_object().finish();
}

std::vector<std::string> carry_files(const std::string& from, const std::string& to) {
  const fs::path home = home_of(from);
  std::vector<std::string> left_out;
  for (const std::string& name : names_to_carry(from)) {
    const std::string source = from + "/" + name;
    std::error_code none;
    if (!fs::is_regular_file(source, none)) continue;
    const fs::path real = fs::canonical(source, none);
    if (!is_inside(real, home)) {
      left_out.push_back(fmt::format("{} is a link that leaves the model's folder: not copied",
                                     printable(source, 4096)));
      continue;
    }
    fs::create_directories(fs::path(to + "/" + name).parent_path(), none);
    AtomicFile file(to + "/" + name);
    file.write(read_file(real.string(), kFileLimit));
    file.commit();
  }
  return left_out;
}

}  // namespace nibble
