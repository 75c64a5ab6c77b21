#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>

#include "nibble/core/checked.h"
#include "nibble/core/files.h"
#include "nibble/core/json.h"
#include "nibble/format/safetensors.h"
#include "nibble/format/safetensors_header.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using safetensors::at_tensor;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr int64_t kMaxIndex = 100'000'000;
constexpr std::string_view kSuffix = ".safetensors";

std::string at_shard(std::string_view name) { return "shard " + in_quotes(name); }

// {"metadata": {"total_size": 123}, "weight_map": {"wte.weight":
// "model-00001-of-00002.safetensors"}}
struct Index {
  std::map<std::string, std::string, std::less<>> weight_map;
  std::optional<uint64_t> total_size;
};

class IndexHandler : public JsonHandler {
 public:
  Index index;

  void on_object_begin() override {
    if (depth_ == 2) expect_file();
    ++depth_;
  }
  void on_object_end() override { --depth_; }
  void on_array_begin() override {
    expect_file();
    ++depth_;
  }
  void on_array_end() override { --depth_; }
  void on_key(std::string_view key) override { (depth_ == 1 ? section_ : key_) = key; }
  void on_string(std::string_view file) override {
    if (depth_ == 2 && section_ == "weight_map") {
      index.weight_map.emplace(key_, file);
    } else {
      expect_file();
    }
  }
  void on_unsigned(uint64_t number) override {
    if (depth_ == 2 && section_ == "metadata" && key_ == "total_size") index.total_size = number;
    expect_file();
  }
  void on_integer(int64_t) override { expect_file(); }
  void on_number(double, std::string_view) override { expect_file(); }
  void on_boolean(bool) override { expect_file(); }
  void on_null() override { expect_file(); }

 private:
  // Called for every value that cannot be a shard's name.
  void expect_file() const {
    if (section_ != "weight_map" || depth_ == 0) return;
    throw corrupt("expected the name of a shard")
        .at(depth_ == 1 ? "key \"weight_map\"" : at_tensor(key_));
  }
  int depth_ = 0;
  std::string section_, key_;
};

Index read_index(const std::string& path) {
  try {
    IndexHandler handler;
    parse_json(read_file(path, kMaxIndex), handler);
    if (handler.index.weight_map.empty())
      throw corrupt("missing or empty, and needed").at("key \"weight_map\"");
    return std::move(handler.index);
  } catch (Error& e) {
    throw std::move(e).in_file(path);
  }
}

// Whether a link in `folder` may lead to `target`: to the folder itself, or from a snapshot of the
// Hugging Face cache, models--A--B/snapshots/COMMIT/, to models--A--B/blobs/. All canonical.
bool link_allowed(const fs::path& folder, const fs::path& target) {
  if (lies_within(target, folder)) return true;
  const fs::path snapshots = folder.parent_path();
  return snapshots.filename() == "snapshots" &&
         lies_within(target, snapshots.parent_path() / "blobs");
}

// The path of a shard that an index names; the name is a stranger's.
std::string shard_path(const std::string& folder, const std::string& name) {
  if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos ||
      !name.ends_with(kSuffix) || name == kSuffix) {
    throw corrupt(
        "expected a plain file name ending in .safetensors: a shard lies in its model's "
        "own folder")
        .at(at_shard(name));
  }
  std::string path = folder + '/' + name;
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || stat(path.c_str(), &info) != 0) {
    throw system_error(errno, path, "open a shard that " + std::string(kIndex) + " names");
  }
  if (!S_ISREG(info.st_mode)) throw corrupt("is not a regular file").at(at_shard(name));
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error || !link_allowed(fs::canonical(folder, error), real))
    throw corrupt("is a link that leaves the model's folder").at(at_shard(name));
  return path;
}

class SafetensorsFolder : public TensorSource {
 public:
  void add(std::unique_ptr<TensorSource> shard) {
    for (const TensorInfo& info : shard->list()) infos_.push_back(info);
    file_bytes_ += shard->file_bytes();
    shards_.push_back(std::move(shard));
  }
  // After the last add(): names point into the list.
  void index(const std::vector<std::string>& shard_names) {
    size_t i = 0;
    for (size_t s = 0; s < shards_.size(); ++s) {
      for (const size_t end = i + shards_[s]->list().size(); i < end; ++i) {
        const auto [at, fresh] = shard_of_.emplace(infos_[i].name, s);
        if (fresh) continue;
        throw corrupt(fmt::format("lies in two shards, {} and {}",
                                  in_quotes(shard_names[at->second]), in_quotes(shard_names[s])))
            .at(at_tensor(infos_[i].name));
      }
    }
  }
  std::optional<size_t> shard_of(std::string_view name) const {
    const auto found = shard_of_.find(name);
    if (found == shard_of_.end()) return std::nullopt;
    return found->second;
  }

  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override { return shard_of(name).has_value(); }
  Tensor get(std::string_view name) const override { return require(name).get(name); }
  void release(std::string_view name) const override { require(name).release(name); }
  int64_t file_bytes() const override { return file_bytes_; }

 private:
  const TensorSource& require(std::string_view name) const {
    const auto shard = shard_of(name);
    if (!shard) throw not_found("no such tensor in any shard").at(at_tensor(name));
    return *shards_[*shard];
  }
  std::vector<std::unique_ptr<TensorSource>> shards_;
  std::vector<TensorInfo> infos_;
  std::unordered_map<std::string_view, size_t> shard_of_;
  int64_t file_bytes_ = 0;
};

std::vector<std::string> distinct_shards(const Index& index) {
  std::vector<std::string> names;
  for (const auto& [tensor, file] : index.weight_map) names.push_back(file);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void check_against_index(const SafetensorsFolder& source, const Index& index,
                         const std::vector<std::string>& shards) {
  for (const auto& [tensor, file] : index.weight_map) {
    const auto shard = source.shard_of(tensor);
    if (shard && shards[*shard] == file) continue;
    throw corrupt(
        fmt::format("the index says it lies in {}, {}", in_quotes(file),
                    shard ? "it lies in " + in_quotes(shards[*shard]) : "no shard has it"))
        .at(at_tensor(tensor));
  }
  for (const TensorInfo& info : source.list()) {
    if (index.weight_map.contains(info.name)) continue;
    throw corrupt(fmt::format("lies in {}, the index does not name it",
                              in_quotes(shards[*source.shard_of(info.name)])))
        .at(at_tensor(info.name));
  }
}

// "model-00002-of-00003.safetensors" -> "model-" and "-of-00003.safetensors"; empty where the name
// is no shard's.
std::pair<std::string, std::string> shard_family(const std::string& name) {
  const size_t of = name.find("-of-");
  if (of == std::string::npos) return {};
  const size_t digits = name.find_last_not_of("0123456789", of - 1);
  if (digits == std::string::npos || digits + 1 == of) return {};
  return {name.substr(0, digits + 1), name.substr(of)};
}

// A shard of the same set that the index forgot would be left out silently.
void check_no_stray_shard(const std::string& folder, const std::vector<std::string>& shards) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const auto family = shard_family(name);
    if (family.first.empty() || std::binary_search(shards.begin(), shards.end(), name)) continue;
    for (const std::string& shard : shards) {
      if (shard_family(shard) == family)
        throw corrupt("belongs to the set, the index does not name it").at(at_shard(name));
    }
  }
}

void check_total_size(const SafetensorsFolder& source, const Index& index, const std::string& path,
                      std::vector<std::string>* warnings) {
  if (!index.total_size || warnings == nullptr) return;
  uint64_t sum = 0;
  for (const TensorInfo& info : source.list())
    sum +=
        static_cast<uint64_t>(info.shape.elements()) * static_cast<uint64_t>(size_of(info.dtype));
  if (sum == *index.total_size) return;
  warnings->push_back(fmt::format("{}: total_size is {}, the tensors have {} bytes",
                                  printable(path, 4096), *index.total_size, sum));
}

std::unique_ptr<TensorSource> open_sharded(const std::string& folder,
                                           std::vector<std::string>* warnings) {
  const std::string index_path = folder + '/' + kIndex;
  const Index index = read_index(index_path);
  auto source = std::make_unique<SafetensorsFolder>();
  try {
    const std::vector<std::string> shards = distinct_shards(index);
    for (const std::string& shard : shards)
      source->add(open_safetensors(shard_path(folder, shard)));
    source->index(shards);
    check_against_index(*source, index, shards);
    check_no_stray_shard(folder, shards);
  } catch (Error& e) {
    throw std::move(e).in_file(index_path);
  }
  check_total_size(*source, index, index_path, warnings);
  return source;
}

// What a folder without safetensors holds instead, for the message.
[[noreturn]] void nothing_to_open(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string extension = entry.path().extension().string();
    for (const std::string_view other :
         {".bin", ".pt", ".pth", ".pkl", ".npz", ".h5", ".onnx", ".gguf", ".msgpack"}) {
      if (extension == other) {
        throw unsupported(fmt::format("holds {} but no *.safetensors: convert it to safetensors",
                                      in_quotes(entry.path().filename().string())))
            .in_file(folder);
      }
    }
  }
  throw not_found(
      fmt::format("looked for {}, {} or a single *.safetensors, found none", kSingle, kIndex))
      .in_file(folder);
}

std::unique_ptr<TensorSource> open_any_single(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kSuffix)) found.push_back(name);
  }
  if (error) throw system_error(error.value(), folder, "list the folder");
  if (found.empty()) nothing_to_open(folder);
  std::sort(found.begin(), found.end());
  if (found.size() > 1) {
    throw corrupt(fmt::format("holds {} *.safetensors files ({}, {}, ...) and neither {} nor {}; "
                              "name the one meant",
                              found.size(), in_quotes(found[0]), in_quotes(found[1]), kSingle,
                              kIndex))
        .in_file(folder);
  }
  return open_safetensors(folder + '/' + found[0]);
}

bool present(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

}  // namespace

std::unique_ptr<TensorSource> open_safetensors_folder(const std::string& folder,
                                                      std::vector<std::string>* warnings) {
  struct stat info;
  if (stat(folder.c_str(), &info) != 0) throw system_error(errno, folder, "open");
  if (!S_ISDIR(info.st_mode)) throw not_found("is not a folder").in_file(folder);
  if (present(folder + '/' + kSingle)) return open_safetensors(folder + '/' + kSingle);
  if (present(folder + '/' + kIndex)) return open_sharded(folder, warnings);
  return open_any_single(folder);
}

}  // namespace nibble
