// nibble as a library: everything that programs outside may use. The rest of the headers are its
// own affair and are not installed.
//
//   nibble::Model model = nibble::Model::open("gpt2", {.scheme = "int8"});
//   std::cout << model.generate({.prompts = {"Once upon"}, .temperature = 0}).texts[0].text;
//
// Link with nibble::nibble of find_package(nibble), or by `pkg-config nibble`.
#pragma once

#include "nibble/api/array.h"
#include "nibble/api/control.h"
#include "nibble/api/error.h"
#include "nibble/api/evaluate.h"
#include "nibble/api/model.h"
#include "nibble/api/quantize.h"
#include "nibble/api/version.h"

namespace nibble {
using namespace api;  // NOLINT(google-build-using-namespace)
}
