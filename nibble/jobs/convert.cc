#include "nibble/jobs/convert.h"

#include "nibble/model/hf_cache.h"

namespace nibble {

ConvertResult convert(const ConvertJob& job, const Exec& exec) {
  return convert_model(resolve_model(job.model), job.out, job.options, exec);
}

}  // namespace nibble
