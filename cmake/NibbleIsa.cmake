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

function(nibble_isa_sources list_name)
  set(sources ${${list_name}})
  foreach(isa avx2 avxvnni avx512 avx512vnni amx)
    set(of_isa ${sources})
    list(FILTER of_isa INCLUDE REGEX "/kernels/${isa}/")
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      set_source_files_properties(${of_isa} PROPERTIES COMPILE_OPTIONS
        "${NIBBLE_ISA_FLAGS_${isa}};${NIBBLE_ISA_OPTIMIZATION};-fno-exceptions;-fno-rtti;-fno-math-errno;-fno-trapping-math"
        SKIP_PRECOMPILE_HEADERS ON)
    else()
      list(REMOVE_ITEM sources ${of_isa})
    endif()
  endforeach()
  set(${list_name} ${sources} PARENT_SCOPE)
endfunction()
