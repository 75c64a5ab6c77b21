# What `cmake --install` puts where a distribution expects it: the command, and of the library the public headers
# (nibble/nibble.h and nibble/api), libnibble.a, libnibble.so, nibbleConfig.cmake and nibble.pc.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The names of the libraries that libnibble.a needs, for those who link it.
set(NIBBLE_LINK_NAMES fmt z dnnl xxhash pcre2-8 utf8proc gomp pthread)

if(TARGET nibble_command)
  install(TARGETS nibble_command RUNTIME COMPONENT command)
endif()
if(NOT NIBBLE_SHARED)
  return()
endif()

# Of the same objects; a name that nibble/api does not mark is nobody else's.
add_library(nibble_shared SHARED $<TARGET_OBJECTS:nibble>)
target_link_libraries(nibble_shared PRIVATE ${nibble_needs})
set(nibble_symbols ${CMAKE_CURRENT_LIST_DIR}/libnibble.map)
target_link_options(nibble_shared PRIVATE "-Wl,--version-script,${nibble_symbols}" -Wl,--no-undefined)
set_target_properties(nibble_shared PROPERTIES OUTPUT_NAME nibble LINKER_LANGUAGE CXX LINK_DEPENDS ${nibble_symbols}
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})

file(GLOB nibble_public_headers CONFIGURE_DEPENDS nibble/api/*.h)
list(FILTER nibble_public_headers EXCLUDE REGEX "/within\\.h$")
install(FILES nibble/nibble.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nibble COMPONENT library)
install(FILES ${nibble_public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nibble/api COMPONENT library)
install(TARGETS nibble nibble_shared
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)

configure_package_config_file(cmake/nibbleConfig.cmake.in nibbleConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nibble
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/nibbleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
list(TRANSFORM NIBBLE_LINK_NAMES PREPEND "-l" OUTPUT_VARIABLE NIBBLE_PRIVATE_LIBS)
list(JOIN NIBBLE_PRIVATE_LIBS " " NIBBLE_PRIVATE_LIBS)
# So that an installed tree may be moved.
file(RELATIVE_PATH NIBBLE_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/nibble.pc.in nibble.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nibbleConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/nibbleConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nibble COMPONENT library)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nibble.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
