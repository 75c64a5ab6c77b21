# The kernel and Linear tests again under each cap of NIBBLE_ISA. A cap above what the processor has runs what it has; each run
# prints which kernels really ran.
foreach(isa ref avx2 avxvnni avx512 avx512vnni)
  foreach(program kernels nn)
    if(TARGET test_${program})
      add_test(NAME ${program}_under_${isa}
               COMMAND test_${program} --gtest_filter=Kernels.*:TableKernels.*:Linear.*
               WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${program}_under_${isa} PROPERTIES ENVIRONMENT "NIBBLE_ISA=${isa}" TIMEOUT 600)
    endif()
  endforeach()
endforeach()

# The AMX kernels with tile registers in memory, for processors that have none.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/emulated_tiles.cc TARGET_DIRECTORY test_kernels
    PROPERTIES COMPILE_OPTIONS "${NIBBLE_ISA_FLAGS_avx512vnni};${NIBBLE_ISA_OPTIMIZATION}" SKIP_PRECOMPILE_HEADERS ON)
endif()
