# Files under kernels/<isa>/ are islands: each is compiled for its own instruction set and for no other.
# On another processor family only the reference kernels are built.
set(NIBBLE_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(NIBBLE_ISA_FLAGS_avxvnni ${NIBBLE_ISA_FLAGS_avx2} -mavxvnni)
set(NIBBLE_ISA_FLAGS_avx512 ${NIBBLE_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
    -mprefer-vector-width=512
    # GCC 12's own avx512fintrin.h warns about itself (GCC bug 105593).
    -Wno-uninitialized -Wno-maybe-uninitialized)
set(NIBBLE_ISA_FLAGS_avx512vnni ${NIBBLE_ISA_FLAGS_avx512} -mavx512vnni)
set(NIBBLE_ISA_FLAGS_amx ${NIBBLE_ISA_FLAGS_avx512vnni} -mamx-tile -mamx-int8 -mamx-bf16)

# Not instrumented: GCC 12 needs minutes for each of the larger ones. Their tests put guards around what they
# write.
if(NIBBLE_SANITIZE)
  set(NIBBLE_ISA_OPTIMIZATION "-O1;-fno-sanitize=all")
else()
  set(NIBBLE_ISA_OPTIMIZATION "-O3")
endif()

set(NIBBLE_ISAS all CACHE STRING
    "Instruction sets to have kernels for: all, native (those that this processor would choose), or a list of avx2 avxvnni avx512 avx512vnni amx")
set(nibble_known_isas avx2 avxvnni avx512 avx512vnni amx)
# As /proc/cpuinfo names what makes each of them.
set(nibble_flag_of_avx2 avx2)
set(nibble_flag_of_avxvnni avx_vnni)
set(nibble_flag_of_avx512 avx512bw)
set(nibble_flag_of_avx512vnni avx512_vnni)
set(nibble_flag_of_amx amx_int8)

# nibble_built_isas(OUT): those of NIBBLE_ISAS, on x86-64.
function(nibble_built_isas out)
  set(built ${nibble_known_isas})
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(built "")
  elseif(NIBBLE_ISAS STREQUAL native AND EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo flags REGEX "^flags" LIMIT_COUNT 1)
    foreach(isa ${nibble_known_isas})
      if(NOT "${flags} " MATCHES " ${nibble_flag_of_${isa}} ")
        list(REMOVE_ITEM built ${isa})
      endif()
    endforeach()
    # Never chosen where the wider one is.
    if(avx512vnni IN_LIST built)
      list(REMOVE_ITEM built avxvnni)
    endif()
  elseif(NOT NIBBLE_ISAS MATCHES "^(all|native)$")
    set(built ${NIBBLE_ISAS})
  endif()
  set(${out} ${built} PARENT_SCOPE)
endfunction()

# nibble_isa_sources(SOURCES DEFINITIONS): takes files of other instruction sets out of the list SOURCES, gives the
# rest their flags, and says in DEFINITIONS which there are.
function(nibble_isa_sources list_name definitions)
  set(sources ${${list_name}})
  nibble_built_isas(built)
  set(defined "")
  # Products in 256 bits take long to compile, and native never chooses them where it has those of 512.
  set(avx2_products 0)
  if(NIBBLE_ISAS STREQUAL native AND avx512vnni IN_LIST built)
    list(FILTER sources EXCLUDE REGEX "/kernels/avx2/gemm_")
  elseif(avx2 IN_LIST built)
    set(avx2_products 1)
  endif()
  list(APPEND defined NIBBLE_BUILT_AVX2_PRODUCTS=${avx2_products})
  foreach(isa ${nibble_known_isas})
    set(of_isa ${sources})
    list(FILTER of_isa INCLUDE REGEX "/kernels/${isa}/")
    string(TOUPPER ${isa} name)
    if(isa IN_LIST built)
      list(APPEND defined NIBBLE_BUILT_${name}=1)
      set_source_files_properties(${of_isa} PROPERTIES COMPILE_OPTIONS
        "${NIBBLE_ISA_FLAGS_${isa}};${NIBBLE_ISA_OPTIMIZATION};-fno-exceptions;-fno-rtti;-fno-math-errno;-fno-trapping-math"
        SKIP_PRECOMPILE_HEADERS ON)
    else()
      list(APPEND defined NIBBLE_BUILT_${name}=0)
      list(REMOVE_ITEM sources ${of_isa})
    endif()
  endforeach()
  set(${list_name} ${sources} PARENT_SCOPE)
  set(${definitions} ${defined} PARENT_SCOPE)
endfunction()
