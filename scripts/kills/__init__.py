"""kills"""
