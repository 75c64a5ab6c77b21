#include "nibble/compress/layer_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "nibble/compress/weight_parts.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/hash.h"
#include "nibble/core/json.h"
#include "nibble/format/safetensors.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFingerprintFile = "fingerprint.txt";
constexpr int64_t kReportLimit = 1 << 20;

class MemoryStore : public LayerStore {
 public:
  bool has(int) const override { return false; }
  void put(int, std::vector<FinishedWeight> weights) override {
    for (FinishedWeight& w : weights) {
      reports_.push_back(std::move(w.report));
      weights_.insert_or_assign(w.name, std::move(w.weight));
    }
  }
  QuantizedTensor get(int, const std::string& name, const QuantScheme&) const override {
    const auto found = weights_.find(name);
    NIBBLE_CHECK(found != weights_.end());
    return found->second;
  }
  std::vector<LayerReport> reports() const override { return reports_; }

 private:
  std::map<std::string, QuantizedTensor, std::less<>> weights_;
  std::vector<LayerReport> reports_;
};

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path, static_cast<int64_t>(text.size()));
  file.write(text);
  file.commit();
}

// `hash` is left out where it is empty.
std::string to_json(const std::vector<LayerReport>& reports, const std::string& hash) {
  JsonWriter out;
  out.begin_object();
  if (!hash.empty()) out.field("hash", hash);
  out.key("weights").begin_array();
  for (const LayerReport& r : reports) write_report(r, out);
  return out.end_array().end_object().finish();
}

// Over everything that a layer's files hold, and which layer's they are.
std::string hash_of_layer(int layer, const std::vector<LayerReport>& reports,
                          const TensorSource& of) {
  return bytes_hash(fmt::format("{}\n{}\n{}", layer, content_hash(of), to_json(reports, "")));
}

std::vector<LayerReport> reports_from(const JsonFields& fields) {
  std::vector<LayerReport> out;
  for (const std::string& index : fields.keys("weights")) {
    const std::string at = "weights." + index + ".";
    LayerReport r;
    r.name = fields.string(at + "name");
    r.error = fields.number_or(at + "error", -1);
    r.rtn_error = fields.number_or(at + "rtn_error", -1);
    r.damping = fields.number_or(at + "damping", 0);
    r.fell_back = fields.boolean_or(at + "fell_back", false);
    r.note = fields.string_or(at + "note", "");
    r.tokens = fields.integer_or(at + "tokens", -1);
    r.expert = static_cast<int>(fields.integer_or(at + "expert", -1));
    r.mixed = fields.number_or(at + "mixed", 0);
    out.push_back(std::move(r));
  }
  return out;
}

// Names that a run gives its files, unfinished ones included.
bool is_own_name(std::string name) {
  const size_t unfinished = name.find(".nibble.tmp.");
  name.resize(std::min(unfinished, name.size()));
  if (name == kFingerprintFile) return true;
  for (const std::string_view end : {".json", ".safetensors"}) {
    if (!name.ends_with(end)) continue;
    const std::string stem = name.substr(0, name.size() - end.size());
    if (stem == "head") return true;
    return stem.starts_with("layer-") && stem.size() > 6 &&
           stem.find_first_not_of("0123456789", 6) == std::string::npos;
  }
  return false;
}

bool holds_only_own_names(const std::string& folder) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (!is_own_name(entry.path().filename().string())) return false;
  }
  return true;
}

bool is_own_fingerprint(const std::string& path) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return false;
  try {
    return JsonFields::parse(read_file(path, kReportLimit)).contains("nibble_version");
  } catch (const Error&) {
    return false;
  }
}

// What runs put into the folder, and the folder where nothing else is in it.
void remove_own(const std::string& folder) {
  std::error_code none;
  std::vector<fs::path> own;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (is_own_name(entry.path().filename().string())) own.push_back(entry.path());
  }
  for (const fs::path& path : own) unlink(path.c_str());
  rmdir(folder.c_str());
}

}  // namespace

void write_report(const LayerReport& r, JsonWriter& out) {
  out.begin_object().field("name", r.name);
  if (r.error >= 0) out.field("error", r.error).field("rtn_error", r.rtn_error);
  if (r.damping > 0) out.field("damping", r.damping);
  if (r.fell_back) out.field("fell_back", true);
  if (!r.note.empty()) out.field("note", r.note);
  if (r.tokens >= 0) out.field("tokens", r.tokens);
  if (r.expert >= 0) out.field("expert", r.expert);
  if (r.mixed > 0) out.field("mixed", r.mixed);
  out.end_object();
}

std::unique_ptr<LayerStore> memory_store() { return std::make_unique<MemoryStore>(); }

void FolderStore::refuse_foreign(const std::string& folder) {
  std::error_code none;
  const auto type = fs::symlink_status(folder, none).type();
  if (type == fs::file_type::not_found) return;
  if (type == fs::file_type::directory &&
      (is_own_fingerprint(folder + "/" + std::string(kFingerprintFile)) ||
       holds_only_own_names(folder)))
    return;
  throw cannot_create(
      "is needed for finished layers, and is something else; rename it or remove it")
      .in_file(folder);
}

FolderStore::FolderStore(std::string folder, std::string fingerprint, bool resume,
                         std::vector<std::string>& warnings)
    : folder_(std::move(folder)), fingerprint_(std::move(fingerprint)) {
  const std::string mark = folder_ + "/" + std::string(kFingerprintFile);
  std::error_code none;
  refuse_foreign(folder_);
  if (!resume) return;
  if (!fs::is_regular_file(mark, none)) {
    warnings.push_back(folder_ + ": nothing to resume from: starting anew");
  } else if (read_file(mark, kReportLimit) != fingerprint_) {
    warnings.push_back(folder_ +
                       ": belongs to another run (other options, model or text): starting anew");
  } else {
    begun_ = true;
    open_layers(warnings);
  }
}

std::string FolderStore::file(int layer, std::string_view end) const {
  return layer < 0 ? fmt::format("{}/head.{}", folder_, end)
                   : fmt::format("{}/layer-{:05}.{}", folder_, layer, end);
}

void FolderStore::open_layer(int layer) {
  const std::string tensors = file(layer, "safetensors");
  const JsonFields fields = JsonFields::parse(read_file(file(layer, "json"), kReportLimit));
  auto reports = reports_from(fields);
  auto source = open_safetensors(tensors);
  if (fields.string_or("hash", "") != hash_of_layer(layer, reports, *source))
    throw corrupt("the checksum of this layer does not match (damaged)").in_file(tensors);
  layers_[layer] = std::move(source);
  reports_.emplace_back(layer, std::move(reports));
  ++found_;
}

void FolderStore::open_layers(std::vector<std::string>& warnings) {
  std::error_code none;
  for (int layer = 0; fs::exists(file(layer, "json"), none); ++layer) {
    try {
      open_layer(layer);
    } catch (const Error& e) {
      warnings.push_back(fmt::format("{}: going on from layer {}", e.what(), layer));
      return;
    }
  }
}

bool FolderStore::has(int layer) const { return layers_.contains(layer); }

void FolderStore::begin() {
  if (begun_) return;
  std::error_code none;
  remove_own(folder_);
  fs::create_directory(folder_, none);
  begun_ = fs::is_directory(folder_, none);
  if (!begun_) throw cannot_create("the folder of finished layers cannot be made").in_file(folder_);
  write_file(folder_ + "/" + std::string(kFingerprintFile), fingerprint_);
}

void FolderStore::put(int layer, std::vector<FinishedWeight> weights) {
  begin();
  std::vector<NamedTensor> tensors;
  std::vector<LayerReport> reports;
  for (const FinishedWeight& w : weights) {
    for (NamedTensor& t : parts_of(w.name, w.weight)) tensors.push_back(std::move(t));
    reports.push_back(w.report);
  }
  layers_.erase(layer);
  write_safetensors(file(layer, "safetensors"), tensors);
  layers_[layer] = open_safetensors(file(layer, "safetensors"));
  write_file(file(layer, "json"), to_json(reports, hash_of_layer(layer, reports, *layers_[layer])));
  reports_.emplace_back(layer, std::move(reports));
}

QuantizedTensor FolderStore::get(int layer, const std::string& name,
                                 const QuantScheme& scheme) const {
  const auto found = layers_.find(layer);
  NIBBLE_CHECK(found != layers_.end());
  return from_parts(*found->second, name, scheme);
}

std::vector<LayerReport> FolderStore::reports() const {
  std::vector<LayerReport> out;
  for (const auto& [layer, of_layer] : reports_)
    out.insert(out.end(), of_layer.begin(), of_layer.end());
  return out;
}

void FolderStore::remove() {
  layers_.clear();
  if (begun_) remove_own(folder_);
}

void FolderStore::fail(bool useful) {
  if (begun_ && (!useful || layers_.empty())) remove();
}

}  // namespace nibble
