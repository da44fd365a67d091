"""How lists are cut into pages. Apart from `config.api`, because REST framework loads it while being imported."""

from rest_framework.pagination import PageNumberPagination


class PageNumbers(PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
